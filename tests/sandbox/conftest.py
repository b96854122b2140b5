from __future__ import annotations

import os

import pytest
from sandbox_room import BUILD_ID, Room


@pytest.fixture
def room(tmp_path):
    """A room for this user; root's belongs to a build id, below a folder that only root can enter."""
    tmp_path.chmod(0o700)
    return Room(str(tmp_path), BUILD_ID if os.geteuid() == 0 else None)


@pytest.fixture
def shell(room):
    """`room.shell` with busybox at hand."""
    room.add_busybox()
    return room.shell


@pytest.fixture
def mount_points(tmp_path):
    from kiln.interpreter.sandbox.mountpoints import MountPoints

    (tmp_path / "mounts").mkdir()
    return MountPoints(str(tmp_path / "mounts"))
