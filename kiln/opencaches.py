"""The caches that a command takes from, opened: those of the user's settings, or the one that was named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kiln.store.cache.believed import Believed
from kiln.store.cache.reader import CacheReader
from kiln.store.cache.seen import Memory
from kiln.store.cache.settings import Setting, Settings, check_address, name_of, open_setting, plain_address
from kiln.store.cache.several import Caches
from kiln.store.provenance.trust import Policy
from kiln.store.store import Store


def chosen(settings: Settings, only: str | None) -> tuple[Setting, ...]:
    """The caches of the settings; with `only`, the one of that name, or at that address. Raises BadCacheAddress."""
    if only is None:
        return settings.caches
    only = plain_address(only)
    found = settings.find(only)
    if found is None:
        check_address(only, "--from")
        found = Setting(name_of(only, settings.caches), only, required=True)
    return (found,)


def open_caches(
    used: Settings,
    settings: Sequence[Setting],
    store: Store,
    policy: Policy,
    memory: Memory,
    warn: Callable[[str], None],
) -> Caches:
    """Open those of `settings`, which `chosen` has made of `used`; nothing is read yet. Raises BadCacheAddress."""
    believed = Believed(policy, memory)
    readers = [CacheReader(open_setting(item, lone=used.is_lone(item)), believed, warn) for item in settings]
    return Caches(readers, store, believed, warn, [item.name for item in settings if item.required])
