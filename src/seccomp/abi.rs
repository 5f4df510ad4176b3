//! The ways to make system calls that a kernel of this machine offers, and a filter tells apart.

/// One of them.
pub struct Abi {
    /// As profiles name it.
    pub name: &'static str,
    /// `AUDIT_ARCH_…`, which the kernel gives to filters. x86_64 and x32 share theirs.
    pub audit: u32,
    /// What its numbers begin at.
    pub base: u32,
    /// Arguments of 64 bits; otherwise filters look at the lower half alone.
    pub is_wide: bool,
}

/// x32 calls are x86_64 calls with this bit (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

/// The first of `ABIS`. It has its rules whatever a profile lists, as with libseccomp.
pub const NATIVE: usize = 0;

#[cfg(target_arch = "x86_64")]
pub const ABIS: [Abi; 3] = [
    Abi {
        name: "SCMP_ARCH_X86_64",
        audit: 0xc000_003e,
        base: 0,
        is_wide: true,
    },
    Abi {
        name: "SCMP_ARCH_X86",
        audit: 0x4000_0003,
        base: 0,
        is_wide: false,
    },
    Abi {
        name: "SCMP_ARCH_X32",
        audit: 0xc000_003e,
        base: X32_BIT,
        is_wide: false,
    },
];
#[cfg(target_arch = "x86_64")]
pub const COLUMNS: [usize; 3] = [0, 1, 2];

#[cfg(target_arch = "aarch64")]
pub const ABIS: [Abi; 2] = [
    Abi {
        name: "SCMP_ARCH_AARCH64",
        audit: 0xc000_00b7,
        base: 0,
        is_wide: true,
    },
    ARM,
];
#[cfg(target_arch = "aarch64")]
pub const COLUMNS: [usize; 2] = [3, 4];

#[cfg(target_arch = "arm")]
pub const ABIS: [Abi; 1] = [ARM];
#[cfg(target_arch = "arm")]
pub const COLUMNS: [usize; 1] = [4];

#[cfg(not(target_arch = "x86_64"))]
const ARM: Abi = Abi {
    name: "SCMP_ARCH_ARM",
    audit: 0x4000_0028,
    base: 0,
    is_wide: false,
};

/// Every name that a profile may list. Those of other machines can't happen here and are skipped.
pub const NAMES: [&str; 23] = [
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];
