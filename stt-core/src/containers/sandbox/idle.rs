//! The program that is process 1 of a container of ours, byte by byte: images have none in common. Pure.
//!
//! Without an argument it has the kernel bury every child that it inherits (`SIGCHLD` ignored), and sleeps. With one, a
//! number, it sends that signal to everybody in the container but process 1 and itself. With more, each three numbers
//! are a resource with its soft and its hard limit (`setrlimit(2)`; one that is refused is left as it was), until a path
//! comes: that program, with what follows, takes its place, or it exits with 127.

use super::elf::Machine;

/// Where it is loaded: a multiple of the largest pages.
const BASE: u64 = 0x40_0000;

/// The sizes of the two kinds of headers.
const HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;

/// The program for a machine; `None` where none was written.
pub(super) fn program(machine: Machine) -> Option<Vec<u8>> {
    let code = match machine {
        Machine::X86_64 => X86_64.to_vec(),
        Machine::Aarch64 => AARCH64.iter().flat_map(|word| word.to_le_bytes()).collect(),
        Machine::X86 | Machine::Arm | Machine::Other(_) => return None,
    };
    let start = HEADER + 2 * PROGRAM_HEADER;
    let size = u64::from(start) + code.len() as u64;
    let mut file = Vec::new();
    // The header of the file (`elf(5)`): 64 bits, the lower byte first, a program that lies where it says.
    file.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend(2_u16.to_le_bytes());
    file.extend(machine.number().to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for word in [BASE + u64::from(start), u64::from(HEADER), 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [HEADER, PROGRAM_HEADER, 2, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // All of it is loaded, to be read and executed; and nobody may execute the stack.
    let mut part = |kind: u32, flags: u32, words: [u64; 6]| {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in words {
            file.extend(word.to_le_bytes());
        }
    };
    part(1, 5, [0, BASE, BASE, size, size, 0x1_0000]);
    part(0x6474_e551, 6, [0, 0, 0, 0, 0, 16]);
    file.extend(code);
    Some(file)
}

/// In Intel's notation. System calls: 13 `rt_sigaction`, 34 `pause`, 62 `kill`, 160 `setrlimit`, 59 `execve`, 60 `exit`.
#[rustfmt::skip]
const X86_64: &[u8] = &[
    // _start:
    0x48, 0x8b, 0x0c, 0x24, // mov rcx,[rsp]
    0x48, 0x8d, 0x5c, 0x24, 0x10, // lea rbx,[rsp+16]
    0x83, 0xf9, 0x02, // cmp ecx,2
    0x74, 0x22, // je send
    0x7f, 0x34, // jg limits
    0x6a, 0x00, // push 0
    0x6a, 0x00, // push 0
    0x6a, 0x00, // push 0
    0x6a, 0x01, // push 1
    0x48, 0x89, 0xe6, // mov rsi,rsp
    0x31, 0xd2, // xor edx,edx
    0x6a, 0x08, // push 8
    0x41, 0x5a, // pop r10
    0x6a, 0x11, // push 17
    0x5f, // pop rdi
    0x6a, 0x0d, // push 13
    0x58, // pop rax
    0x0f, 0x05, // syscall
    // sleep:
    0x6a, 0x22, // push 34
    0x58, // pop rax
    0x0f, 0x05, // syscall
    0xeb, 0xf9, // jmp sleep
    // send:
    0xe8, 0x5d, 0x00, 0x00, 0x00, // call number
    0x48, 0x89, 0xc6, // mov rsi,rax
    0x6a, 0xff, // push -1
    0x5f, // pop rdi
    0x6a, 0x3e, // push 62
    0x58, // pop rax
    0x0f, 0x05, // syscall
    0x31, 0xff, // xor edi,edi
    0xeb, 0x49, // jmp exit
    // limits:
    0x48, 0x8b, 0x33, // mov rsi,[rbx]
    0x80, 0x3e, 0x2f, // cmp [rsi],47
    0x74, 0x26, // je start
    0xe8, 0x41, 0x00, 0x00, 0x00, // call number
    0x48, 0x89, 0xc7, // mov rdi,rax
    0xe8, 0x39, 0x00, 0x00, 0x00, // call number
    0x50, // push rax
    0xe8, 0x33, 0x00, 0x00, 0x00, // call number
    0x48, 0x87, 0x04, 0x24, // xchg [rsp],rax
    0x50, // push rax
    0x48, 0x89, 0xe6, // mov rsi,rsp
    0xb8, 0xa0, 0x00, 0x00, 0x00, // mov eax,160
    0x0f, 0x05, // syscall
    0x58, // pop rax
    0x58, // pop rax
    0xeb, 0xd2, // jmp limits
    // start:
    0x48, 0x89, 0xf7, // mov rdi,rsi
    0x48, 0x89, 0xde, // mov rsi,rbx
    0x48, 0x89, 0xda, // mov rdx,rbx
    // skip:
    0x48, 0x83, 0x3a, 0x00, // cmp [rdx],0
    0x48, 0x8d, 0x52, 0x08, // lea rdx,[rdx+8]
    0x75, 0xf6, // jne skip
    0x6a, 0x3b, // push 59
    0x58, // pop rax
    0x0f, 0x05, // syscall
    0x6a, 0x7f, // push 127
    0x5f, // pop rdi
    // exit:
    0x6a, 0x3c, // push 60
    0x58, // pop rax
    0x0f, 0x05, // syscall
    // number:
    0x48, 0x8b, 0x33, // mov rsi,[rbx]
    0x48, 0x83, 0xc3, 0x08, // add rbx,8
    0x31, 0xc0, // xor eax,eax
    // digit:
    0x0f, 0xb6, 0x16, // movzx edx,[rsi]
    0x83, 0xea, 0x30, // sub edx,48
    0x7c, 0x0c, // jl done
    0x48, 0x6b, 0xc0, 0x0a, // imul rax,rax,10
    0x48, 0x01, 0xd0, // add rax,rdx
    0x48, 0xff, 0xc6, // inc rsi
    0xeb, 0xec, // jmp digit
    // done:
    0xc3, // ret
];

/// System calls: 134 `rt_sigaction`, 73 `ppoll`, 129 `kill`, 164 `setrlimit`, 221 `execve`, 93 `exit`.
#[rustfmt::skip]
const AARCH64: &[u32] = &[
    // _start:
    0xf940_03e9, // ldr x9, [sp]
    0x9100_43ea, // add x10, sp, 16
    0xf100_093f, // cmp x9, 2
    0x5400_0240, // b.eq send
    0x5400_030c, // b.gt limits
    0xd280_0022, // mov x2, 1
    0xa9be_7fe2, // stp x2, xzr, [sp, -32]!
    0xa901_7fff, // stp xzr, xzr, [sp, 16]
    0xd280_0220, // mov x0, 17
    0x9100_03e1, // mov x1, sp
    0xd280_0002, // mov x2, 0
    0xd280_0103, // mov x3, 8
    0xd280_10c8, // mov x8, 134
    0xd400_0001, // svc 0
    // sleep:
    0xd280_0000, // mov x0, 0
    0xd280_0001, // mov x1, 0
    0xd280_0002, // mov x2, 0
    0xd280_0003, // mov x3, 0
    0xd280_0928, // mov x8, 73
    0xd400_0001, // svc 0
    0x17ff_fffa, // b sleep
    // send:
    0x9400_0021, // bl number
    0xaa00_03e1, // mov x1, x0
    0x9280_0000, // mov x0, -1
    0xd280_1028, // mov x8, 129
    0xd400_0001, // svc 0
    0xd280_0000, // mov x0, 0
    0x1400_0019, // b exit
    // limits:
    0xf940_014b, // ldr x11, [x10]
    0x3940_016c, // ldrb w12, [x11]
    0x7100_bd9f, // cmp w12, 47
    0x5400_01a0, // b.eq start
    0x9400_0016, // bl number
    0xaa00_03ed, // mov x13, x0
    0x9400_0014, // bl number
    0xaa00_03ee, // mov x14, x0
    0x9400_0012, // bl number
    0xa9bf_03ee, // stp x14, x0, [sp, -16]!
    0xaa0d_03e0, // mov x0, x13
    0x9100_03e1, // mov x1, sp
    0xd280_1488, // mov x8, 164
    0xd400_0001, // svc 0
    0x9100_43ff, // add sp, sp, 16
    0x17ff_fff1, // b limits
    // start:
    0xaa0b_03e0, // mov x0, x11
    0xaa0a_03e1, // mov x1, x10
    0xaa0a_03e2, // mov x2, x10
    // skip:
    0xf840_8443, // ldr x3, [x2], 8
    0xb5ff_ffe3, // cbnz x3, skip
    0xd280_1ba8, // mov x8, 221
    0xd400_0001, // svc 0
    0xd280_0fe0, // mov x0, 127
    // exit:
    0xd280_0ba8, // mov x8, 93
    0xd400_0001, // svc 0
    // number:
    0xf840_854b, // ldr x11, [x10], 8
    0xd280_0000, // mov x0, 0
    0xd280_014f, // mov x15, 10
    // digit:
    0x3840_156c, // ldrb w12, [x11], 1
    0x7100_c18c, // subs w12, w12, 48
    0x5400_006b, // b.lt done
    0x9b0f_3000, // madd x0, x0, x15, x12
    0x17ff_fffc, // b digit
    // done:
    0xd65f_03c0, // ret
];

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    /// The program of this machine, as a file; `None` where none was written for it.
    fn installed(dir: &tempfile::TempDir) -> Option<std::path::PathBuf> {
        let path = dir.path().join("idle");
        fs_err::write(&path, program(Machine::own()?)?).unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Some(path)
    }

    #[test]
    fn a_header_says_where_the_code_is() {
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let file = program(machine).unwrap();
            let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
            assert_eq!(word(24), BASE + 176, "the entry");
            assert_eq!(
                word(64 + 32),
                file.len() as u64,
                "the size of what is loaded"
            );
            let read = super::super::elf::read(&file).unwrap();
            assert_eq!((read.machine, read.interpreter), (machine, None));
        }
        assert_eq!(program(Machine::Other(8)), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "a program is tried")]
    fn it_takes_on_limits_and_becomes_another_program() {
        let dir = tempfile::tempdir().unwrap();
        let Some(idle) = installed(&dir) else { return };
        let run = |args: &[&str]| {
            Command::new(&idle)
                .args(args)
                .env("A", "b")
                .output()
                .unwrap()
        };
        let script = "ulimit -Sn; ulimit -Hn; ulimit -c; echo $0 $1 $A";
        let open_files = libc::RLIMIT_NOFILE.to_string();
        let core = libc::RLIMIT_CORE.to_string();
        let limits = [open_files.as_str(), "50", "60", &core, "0", "0"];
        let said = run(&[&limits[..], &["/bin/sh", "-c", script, "x", "y"]].concat());
        assert_eq!(String::from_utf8_lossy(&said.stdout), "50\n60\n0\nx y b\n");
        // More than there may be is no limit, and stops nobody.
        let most = u64::MAX.to_string();
        let said = run(&[&open_files, &most, &most, "/bin/sh", "-c", "exit 7"]);
        assert_eq!(said.status.code(), Some(7));
        let said = run(&[&core, "0", "0", "/no/such/program"]);
        assert_eq!(said.status.code(), Some(127));
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(clippy::disallowed_methods, reason = "a program is tried")]
    fn it_sleeps_until_it_is_killed_and_ignores_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let Some(idle) = installed(&dir) else { return };
        let mut child = Command::new(&idle).stdin(Stdio::null()).spawn().unwrap();
        let path = format!("/proc/{}/status", child.id());
        let ignores = |status: &str| {
            let mut lines = status.lines();
            let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
            let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
            Some(mask & (1 << (libc::SIGCHLD - 1)) != 0)
        };
        let looks = (0..1_000_000).map(|_| fs_err::read_to_string(&path).unwrap());
        let seen = looks.into_iter().any(|status| {
            assert_eq!(child.try_wait().unwrap(), None, "it has ended");
            ignores(&status) == Some(true)
        });
        assert!(seen, "it ignores the ends of its children");
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
