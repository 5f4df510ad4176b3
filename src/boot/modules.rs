//! Kernel modules by path or by name, with what they depend on (modules.dep(5)), and by what the
//! kernel calls them when it needs one (`crypto-crc32c`, `fs-erofs`; modules.alias).
//!
//! A board may have no modprobe: then the kernel is told to ask us (`answer_kernel`).

use crate::error::{Context, Error, Result};
use crate::image::decoder;
use crate::image::source::{Input, Source};
use crate::kernel::{Feature, lacks};
use crate::sys::power;
use rustix::io::Errno;
use std::ffi::CString;
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 64 << 10;

/// Load what a line of the plan names: a module, and its parameters behind it.
pub fn load(line: &str) -> Result<()> {
    let (name, parameters) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    load_with(name, parameters).context(|| format!("load module {name}"))
}

fn load_with(name: &str, parameters: &str) -> Result<()> {
    if name.starts_with('/') {
        return insert(Path::new(name), parameters);
    }
    let dir = PathBuf::from("/lib/modules").join(power::kernel_release());
    let listed = crate::sys::fs::read(&dir.join("modules.dep"))?;
    let listed = String::from_utf8_lossy(&listed);
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    let aliases = read("modules.alias");
    let mut names = vec![name];
    names.extend(aliases_of(&aliases, name));
    let mut loaded = None;
    for files in names.iter().filter_map(|name| find(&listed, name)) {
        let outcome = insert_all(&dir, &files, parameters);
        // One of several that do the same is enough.
        if loaded.is_none() || outcome.is_ok() {
            loaded = Some(outcome);
        }
    }
    if let Some(outcome) = loaded {
        return outcome;
    }
    // The kernel may have it within.
    match read("modules.builtin")
        .lines()
        .any(|path| is_called(path, name))
    {
        true => Ok(()),
        false => Err(Error::not_found(format!(
            "there is no such module in {}",
            dir.display()
        ))),
    }
}

/// The line names the module first, and last what is to be loaded first.
fn insert_all(dir: &Path, files: &[&str], parameters: &str) -> Result<()> {
    for (at, file) in files.iter().enumerate().rev() {
        let parameters = if at == 0 { parameters } else { "" };
        insert(&dir.join(file), parameters)?;
    }
    Ok(())
}

/// The modules that answer to a name of the kernel's. Patterns are for what udev asks for.
fn aliases_of<'a>(listed: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    listed.lines().filter_map(move |line| {
        let (alias, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
        is_called(alias, name).then_some(module)
    })
}

const MODPROBE: &str = "/proc/sys/kernel/modprobe";

/// Have the kernel ask us for modules, if nobody else is there to be asked.
pub fn answer_kernel() {
    let asked = std::fs::read_to_string(MODPROBE).unwrap_or_default();
    let asked = asked.trim_end();
    // Empty: it is not to ask.
    if asked.is_empty() || Path::new(asked).exists() {
        return;
    }
    if let Ok(own) = std::fs::read_link("/proc/self/exe") {
        // What it does without, it will say.
        let _ = std::fs::write(MODPROBE, own.as_os_str().as_encoded_bytes());
    }
}

/// The files of a module and of those that it depends on.
fn find<'a>(listed: &'a str, name: &str) -> Option<Vec<&'a str>> {
    listed.lines().find_map(|line| {
        let (file, needs) = line.split_once(':')?;
        let all = [file].into_iter().chain(needs.split_ascii_whitespace());
        is_called(file, name).then(|| all.collect())
    })
}

/// `kernel/fs/overlayfs/overlay.ko.xz` is `overlay`; `-` and `_` are the same.
fn is_called(file: &str, name: &str) -> bool {
    let base = file.rsplit('/').next().unwrap_or(file);
    let base = base.split(".ko").next().unwrap_or(base);
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte };
    base.bytes().map(plain).eq(name.bytes().map(plain))
}

fn insert(path: &Path, parameters: &str) -> Result<()> {
    let failed = |errno| crate::sys::failed("finit_module", path.display(), errno);
    let parameters = CString::new(parameters).map_err(|_| failed(Errno::INVAL))?;
    let file = crate::sys::fs::open_file(path)
        .map_err(|errno| crate::sys::failed("open", path.display(), errno))?;
    let kind = path.extension().and_then(|kind| kind.to_str());
    let is_compressed = kind != Some("ko");
    let mut outcome = power::load_module(&file, &parameters, is_compressed);
    // A kernel without Feature::ModuleDecompress. What it has to be given is a file.
    if is_compressed && matches!(outcome, Err(Errno::OPNOTSUPP | Errno::INVAL)) {
        let plain = expand(path, kind.unwrap_or_default())?;
        let plain = crate::sys::fs::in_memory(c"module", &plain)?;
        outcome = power::load_module(&plain, &parameters, false);
    }
    match outcome {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(failed(errno)),
    }
}

/// As the image room takes layers apart: gzip and zstd.
fn expand(path: &Path, kind: &str) -> Result<Vec<u8>> {
    if !matches!(kind, "gz" | "zst") {
        return Err(Error::unsupported(format!(
            "compressed modules are not taken {}: install them plain, or as .gz or .zst",
            lacks(Feature::ModuleDecompress)
        )));
    }
    let packed = crate::sys::fs::read(path)?;
    let mut packed = packed.as_slice();
    let mut packed = Input(&mut packed);
    let mut source = Source::new(&mut packed);
    let mut stream = decoder::open(&mut source)?;
    let (mut plain, mut buffer) = (Vec::new(), vec![0; BUFFER_BYTES]);
    loop {
        let count = stream
            .read(&mut buffer)
            .map_err(|e| Error::io(format_args!("read {}", path.display()), &e))?;
        if count == 0 {
            return Ok(plain);
        }
        plain.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_found_by_what_the_kernel_calls_it() {
        let listed = "# Aliases\nalias crypto-crc32c crc32c_generic\nalias fs-erofs erofs\nalias crypto-crc32c crc32c_arm\n";
        let found: Vec<&str> = aliases_of(listed, "crypto-crc32c").collect();
        assert_eq!(found, ["crc32c_generic", "crc32c_arm"]);
        assert_eq!(aliases_of(listed, "crypto").count(), 0);
    }

    #[test]
    fn a_module_is_found_with_what_it_needs() {
        let listed = "kernel/a/usb-serial.ko.xz:\nkernel/b/ftdi_sio.ko: kernel/a/usb-serial.ko.xz kernel/c/x.ko\n";
        assert_eq!(
            find(listed, "ftdi-sio").unwrap(),
            [
                "kernel/b/ftdi_sio.ko",
                "kernel/a/usb-serial.ko.xz",
                "kernel/c/x.ko"
            ]
        );
        assert_eq!(
            find(listed, "usb_serial").unwrap(),
            ["kernel/a/usb-serial.ko.xz"]
        );
        assert_eq!(find(listed, "usb"), None);
    }
}
