# What a builder can see of the world, as far as it must be the same on every machine and for every user.
title() { echo; echo "== $1"; }

title identity
id
id -G
title "kernel and host"
uname -a
hostname
cat /proc/version /proc/uptime /proc/loadavg /proc/cmdline
title environment
env | sort | grep -v '^SHLVL=\|^_='
title process
umask
pwd
echo "parent $PPID"
ulimit -a
cat /proc/self/personality /proc/self/oom_score_adj
grep '^Uid\|^Gid\|^Umask\|^PPid\|^TracerPid\|^Sig[BIC]\|^ShdPnd\|^Cap\|^NoNewPrivs\|^Seccomp:' /proc/self/status
ls -1 /proc/self/fd
readlink /proc/self/fd/0
title root
ls -lan / | awk '{ print $1, $3, $4, $9, $10, $11 }'
title etc
ls -lan /etc | awk '{ print $1, $3, $4, $9 }'
for file in /etc/*; do echo "-- $file"; cat "$file"; done
title dev
ls -lan /dev | awk '/^c/ { print $1, $3, $4, $5, $6, $10; next } { print $1, $3, $4, $9, $10, $11 }'
ls -1 /dev/pts /dev/shm
title store
ls -lan /kiln/store /kiln/store/*input* | awk '{ print $1, $3, $4, $9 }'
title "writable places"
for place in / /etc /kiln /kiln/store /build /tmp /dev /dev/shm /proc /proc/sys /run /bin; do
    if (echo > "$place/probe") 2> /dev/null; then echo "$place"; rm "$place/probe"; fi
done
title mounts
# Devices and kinds of file systems are the host's.
awk '$2 !~ "^/proc/." {
    print $2, ($4 ~ /(^|,)ro(,|$)/ ? "ro" : "rw"), ($4 ~ /nosuid/ ? "nosuid" : "suid"),
        ($4 ~ /nodev/ ? "nodev" : "dev"), ($4 ~ /noexec/ ? "noexec" : "exec")
}' /proc/mounts | sort
title proc
find /proc/sys -type f | sort
for file in cpuinfo meminfo stat filesystems devices swaps $(cd /proc; find sys -type f | sort); do echo "-- $file"; cat "/proc/$file"; done
for file in keys modules timer_list interrupts kallsyms partitions diskstats config.gz; do
    if [ -s "/proc/$file" ]; then echo "/proc/$file has content"; fi
done
title network
ip -o -4 addr | cut -c1-40
title "memory and processors"
free -m | head -2
nproc
taskset 8000000 nproc
