//! The table: all that the code asks of a kernel, by the names of its configuration.
//!
//! A row is `Feature "OPTION module" "probe" "what its lack costs" "what is done instead"`. Names and
//! groups are those of moby's check-config, where it has them. Kept as one text, which is half the
//! size of as many structs: it has no pointers for the loader to adjust.

use super::{About, Group};

macro_rules! features {
    ($($Group:ident { $($Name:ident $names:literal $probe:literal $cost:literal $fallback:literal;)* })*) => {
        /// A row's number.
        // Most are there for `tug check` alone, which walks over the whole table.
        #[allow(dead_code)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feature {
            $($($Name,)*)*
        }

        const ALL: &[(Feature, Group)] = &[$($((Feature::$Name, Group::$Group),)*)*];

        const TEXT: &str = concat!($($($names, "\t", $probe, "\t", $cost, "\t", $fallback, "\n",)*)*);
    };
}

features! {
    Necessary {
        Namespaces "NAMESPACES" "path:/proc/self/ns" "no container starts" "";
        UtsNs "UTS_NS" "path:/proc/self/ns/uts" "no container starts: each has its own host name" "--uts host";
        IpcNs "IPC_NS" "path:/proc/self/ns/ipc" "no container starts: each has its own shared memory" "--ipc host";
        PidNs "PID_NS" "path:/proc/self/ns/pid" "no container starts: its processes could not be told from the host's" "--pid host";
        NetNs "NET_NS" "path:/proc/self/ns/net" "no container has a network of its own" "--network host";
        Cgroups "CGROUPS" "path:/proc/self/cgroup" "no container starts: its processes could not be found and killed as one" "";
        ProcFs "PROC_FS" "fs:proc" "nothing works" "";
        SysFs "SYSFS" "fs:sysfs" "no container starts: each has a /sys" "";
        Tmpfs "TMPFS" "fs:tmpfs" "no container starts: /dev and /dev/shm are tmpfs" "";
        Devpts "UNIX98_PTYS" "fs:devpts" "no container starts: each has a /dev/pts; no terminals" "";
        Net "NET" "path:/proc/net" "the engine cannot be reached" "";
        Unix "UNIX" "path:/proc/net/unix" "the engine cannot be reached" "";
        Multiuser "MULTIUSER" "path:/proc/sys/kernel/overflowuid" "programs cannot be other users than root" "";
        BinfmtElf "BINFMT_ELF" "" "no program starts" "";
        Futex "FUTEX" "" "the engine does not start: it has threads" "";
        Epoll "EPOLL" "path:/proc/sys/fs/epoll" "no container starts: shims wait for many things at once" "";
        EventFd "EVENTFD" "" "the engine does not start" "";
        SignalFd "SIGNALFD" "" "the engine does not start" "";
        PosixTimers "POSIX_TIMERS" "" "timeouts do not end" "";
        FileLocking "FILE_LOCKING" "path:/proc/locks" "the engine does not start: it could not know that it is alone" "";
    }
    Cgroups {
        Memcg "MEMCG" "cgroup:memory" "no memory limits (--memory), no OOM events" "stats adds up what processes hold";
        MemcgSwap "MEMCG_SWAP|SWAP@6.1" "path:/proc/swaps" "swap is not limited (--memory-swap)" "";
        CgroupSched "CGROUP_SCHED" "cgroup:cpu" "no processor limits (--cpus, --cpu-shares)" "";
        FairGroupSched "FAIR_GROUP_SCHED" "part:cpu" "no processor shares (--cpu-shares)" "";
        CfsBandwidth "CFS_BANDWIDTH" "part:cpu" "no processor quotas (--cpus, --cpu-quota)" "";
        Cpusets "CPUSETS" "cgroup:cpuset" "containers cannot be bound to processors (--cpuset-cpus)" "";
        CgroupPids "CGROUP_PIDS" "cgroup:pids" "no limit of processes (--pids-limit): a fork bomb takes the board" "--ulimit nproc, for other users than root";
        BlkCgroup "BLK_CGROUP" "cgroup:io" "no limits of disks (--device-write-bps, --blkio-weight, --write-budget), no figures of them" "";
        BlkDevThrottling "BLK_DEV_THROTTLING" "part:io" "no rates of disks (--device-read-bps, --device-write-bps and their iops, --write-budget)" "";
        IoWeight "BFQ_GROUP_IOSCHED|BLK_CGROUP_IOCOST@5.4" "part:io" "no weights of disks (--blkio-weight)" "";
        BpfSyscall "BPF_SYSCALL" "" "rules of devices cannot be loaded" "containers may not make nodes of devices (no CAP_MKNOD)";
        CgroupBpf "CGROUP_BPF" "" "rules of devices are not enforced (--device, --device-cgroup-rule)" "containers may not make nodes of devices (no CAP_MKNOD)";
        Psi "PSI" "path:/proc/pressure" "no pressure in stats, no probes of pressure" "";
    }
    Storage {
        OverlayFs "OVERLAY_FS overlay" "fs:overlay" "layers cannot be stacked" "each container gets a copy of its image (--storage-driver vfs)";
        TmpfsXattr "TMPFS_XATTR" "" "a data root in memory loses capabilities of files, and before Linux 6.6 user attributes" "";
        TmpfsAcl "TMPFS_POSIX_ACL" "" "a data root in memory loses access lists" "";
        Loop "BLK_DEV_LOOP loop" "path:/dev/loop-control" "no firmware stores in files (--store-ro), no sizes without quotas (--storage-opt size)" "a store as a partition or directory; project quotas";
        Erofs "EROFS_FS erofs" "fs:erofs" "no firmware stores of tug store build (--store-ro)" "squashfs, or a directory";
        ErofsXattr "EROFS_FS_XATTR" "" "firmware stores in EROFS lose what layers remove (whiteouts) and capabilities of files" "a directory";
        ErofsBackedByFile "EROFS_FS_BACKED_BY_FILE@6.12" "" "firmware stores in EROFS need loop devices" "";
        Squashfs "SQUASHFS squashfs" "fs:squashfs" "no firmware stores in squashfs (--store-ro)" "EROFS, or a directory";
        SquashfsXattr "SQUASHFS_XATTR" "" "firmware stores in squashfs lose what layers remove and capabilities of files" "";
        Ext4 "EXT4_FS ext4" "fs:ext4" "no sizes without quotas (--storage-opt size)" "xfs with project quotas";
        Ext4Acl "EXT4_FS_POSIX_ACL" "" "images on ext4 lose access lists" "";
        Ext4Security "EXT4_FS_SECURITY" "" "images on ext4 lose capabilities of files" "";
        Quota "QUOTA" "path:/proc/sys/fs/quota" "no project quotas on ext4 (--storage-opt size)" "a file with an ext4 in it";
        XfsQuota "XFS_QUOTA" "" "no project quotas on xfs (--storage-opt size)" "a file with an ext4 in it";
        Nfs "NFS_FS nfs" "fs:nfs" "no volumes of type nfs" "";
        Fuse "FUSE_FS fuse" "fs:fuse" "no FUSE in containers (--device /dev/fuse)" "";
    }
    Network {
        Inet "INET" "path:/proc/sys/net/ipv4" "containers have no addresses" "";
        Ipv6 "IPV6 ipv6" "path:/proc/sys/net/ipv6" "no IPv6 in containers, networks and published ports" "IPv4 alone";
        Veth "VETH veth" "link:veth" "no networks of the driver bridge" "--network host, macvlan or ipvlan";
        Bridge "BRIDGE bridge" "link:bridge" "no networks of the driver bridge" "--network host, macvlan or ipvlan";
        Macvlan "MACVLAN macvlan" "link:macvlan" "no networks of the driver macvlan" "the driver ipvlan or bridge";
        Ipvlan "IPVLAN ipvlan" "link:ipvlan" "no networks of the driver ipvlan" "the driver macvlan or bridge";
        Dummy "DUMMY dummy" "link:dummy" "no macvlan and ipvlan networks without a parent, or with --internal" "a parent link";
        Vlan "VLAN_8021Q 8021q" "link:vlan" "no VLANs as parents (-o parent=eth0.10)" "";
        Netfilter "NETFILTER" "path:/proc/sys/net/netfilter" "networks are not isolated" "published ports go through tug proxy";
        NfTables "NF_TABLES nf_tables" "nft:" "networks are not isolated, containers reach the outside only where routes lead back to them" "published ports go through tug proxy";
        NfTablesInet "NF_TABLES_INET" "" "rules of IPv4 and IPv6 cannot stand in one table" "a table for each (NF_TABLES_IPV4, NF_TABLES_IPV6)";
        NfTablesIpv4 "NF_TABLES_IPV4" "" "no rules for IPv4 alone, where NF_TABLES_INET is missing" "";
        NfTablesIpv6 "NF_TABLES_IPV6" "" "no rules for IPv6 alone, where NF_TABLES_INET is missing" "";
        Conntrack "NF_CONNTRACK nf_conntrack" "path:/proc/sys/net/netfilter/nf_conntrack_max" "connections cannot be told from new ones" "tug proxy";
        NftCt "NFT_CT nft_ct" "nft:ct" "containers are reachable from outside by their own addresses" "";
        NfNat "NF_NAT_IPV4|NF_NAT@5.1 nf_nat" "" "addresses cannot be translated" "published ports go through tug proxy";
        NftNat "NFT_NAT nft_nat" "nft:nat" "no rules lead to published ports" "published ports go through tug proxy";
        NftMasq "NFT_MASQ nft_masq" "nft:masq" "containers reach the outside only where routes lead back to them" "";
        NftFib "NFT_FIB_INET nft_fib_inet" "nft:fib" "no rules lead to ports published at all addresses" "those ports go through tug proxy";
        NfCtNetlink "NF_CT_NETLINK nf_conntrack_netlink" "" "UDP flows of a container that has gone are led to where it was, until the kernel forgets them" "";
    }
    Security {
        UserNs "USER_NS" "path:/proc/self/ns/user" "no user namespaces: none without root, none for containers" "";
        Seccomp "SECCOMP" "call:seccomp" "no filters of system calls" "containers run without, and info says so";
        SeccompFilter "SECCOMP_FILTER" "call:seccomp" "no filters of system calls (--security-opt seccomp)" "containers run without, and info says so";
        Keys "KEYS" "path:/proc/keys" "no kernel keyring" "containers share none";
        Mqueue "POSIX_MQUEUE" "fs:mqueue" "no message queues: /dev/mqueue is missing in containers" "";
        Apparmor "SECURITY_APPARMOR" "path:/sys/module/apparmor" "no AppArmor profiles" "";
        Selinux "SECURITY_SELINUX" "path:/sys/fs/selinux" "no SELinux labels" "";
        TimeNs "TIME_NS" "path:/proc/self/ns/time" "tug runtime makes no time namespaces" "";
    }
    Devices {
        Devtmpfs "DEVTMPFS" "fs:devtmpfs" "no nodes of devices in /dev when tug is process 1" "";
        Initrd "BLK_DEV_INITRD" "" "tug cannot be started from an initramfs" "a root file system on a disk";
        IpPnp "IP_PNP" "" "the kernel finds no address by itself (ip= on its command line)" "tug boot does, where the plan says one";
        Modules "MODULES" "path:/proc/modules" "no modules can be loaded" "what is needed has to be built in";
        ModuleDecompress "MODULE_DECOMPRESS@5.17" "" "the kernel unpacks no modules (.xz)" "plain modules, or .gz and .zst";
        Watchdog "WATCHDOG" "path:/sys/class/watchdog" "no hardware watches over the board" "";
        SoftWatchdog "SOFT_WATCHDOG softdog" "" "no watchdog where the hardware has none" "";
        Printk "PRINTK" "path:/dev/kmsg" "no log of the kernel, no --log-driver kmsg" "";
        Tty "TTY" "path:/dev/tty" "no terminals" "";
        BinfmtScript "BINFMT_SCRIPT" "" "scripts (#!) do not start" "";
        Shmem "SHMEM" "" "the host's binary cannot be kept from containers by a copy in memory" "a mount that is read-only";
    }
    Debugging {
        Ikconfig "IKCONFIG_PROC configs" "path:/proc/config.gz" "the running kernel does not tell its configuration" "tug check asks the kernel itself";
        Kallsyms "KALLSYMS" "path:/proc/kallsyms" "crashes of the kernel have no names in them" "";
        MagicSysrq "MAGIC_SYSRQ" "path:/proc/sysrq-trigger" "a stuck board cannot be rebooted by a key" "";
        Pstore "PSTORE" "fs:pstore" "last words of a crash are lost" "";
        TaskIo "TASK_IO_ACCOUNTING" "path:/proc/self/io" "what a process reads and writes is not told (stats, system wear)" "";
        Coredump "COREDUMP" "path:/proc/self/coredump_filter" "programs that crash leave no core" "";
    }
    Versions {
        MountSetattr "mount_setattr@5.12" "" "binds are not read-only with all that is mounted below, no mounts of other owners (uidmap)" "a remount of each";
        CgroupKill "cgroup.kill@5.14" "" "killing a container signals its processes one by one" "freeze, kill, thaw";
        QuotactlFd "quotactl_fd@5.14" "" "no project quotas" "a file with an ext4 in it";
        TmpfsUserXattr "tmpfs-user-xattr@6.6" "" "a data root in memory holds no user attributes" "";
    }
}

/// check-config asks for these, and people have them in their fragments.
pub const NOT_NEEDED: &str = "
Not needed, though Docker asks for it:
  iptables (CONFIG_IP_NF_*, CONFIG_IP6_NF_*, CONFIG_NETFILTER_XT_*, CONFIG_BRIDGE_NETFILTER), IPVS,
  VXLAN, and of cgroup v1 CGROUP_DEVICE, CGROUP_FREEZER, CGROUP_CPUACCT, CGROUP_NET_CLASSID,
  CGROUP_NET_PRIO
";

impl Feature {
    pub fn all() -> impl Iterator<Item = About> {
        ALL.iter().zip(TEXT.lines()).map(|((feature, group), row)| {
            let mut parts = row.split('\t');
            let mut part = || parts.next().unwrap_or_default();
            let names = part();
            let (names, module) = names.split_once(' ').unwrap_or((names, ""));
            About {
                feature: *feature,
                group: *group,
                names,
                module,
                probe: part(),
                cost: part(),
                fallback: part(),
            }
        })
    }

    pub fn about(self) -> About {
        let mut all = Feature::all();
        match all.nth(self as usize) {
            Some(about) => about,
            // The enum and the text are made of the same rows.
            None => unreachable!("a feature without a row"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_and_stands_where_its_number_says() {
        assert_eq!(TEXT.lines().count(), ALL.len());
        for (number, about) in Feature::all().enumerate() {
            assert_eq!(about.feature as usize, number);
            assert_eq!(about.feature.about().names, about.names);
            assert!(!about.cost.is_empty(), "{about:?}");
            assert!(about.cost.len() < 120, "{about:?}");
            assert_eq!(
                about.names.contains('@'),
                about.since() > (0, 0) || about.names.contains('|')
            );
            let kind = about.probe.split(':').next().unwrap();
            let known = ["", "path", "fs", "cgroup", "part", "link", "nft", "call"];
            assert!(known.contains(&kind), "{about:?}");
            assert!(!about.module.contains('-'), "{about:?}");
        }
    }
}
