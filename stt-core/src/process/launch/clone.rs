//! Starts a child by `clone3(2)`: as fast as `posix_spawn(3)` at any size of ours, and with what that
//! can't do. The child is born in its control group, with its limits (`setrlimit(2)`) and with a
//! descriptor that stands for it.
//!
//! Until its `exec` the child shares our memory and our thread waits (`CLONE_VM`, `CLONE_VFORK`). So
//! it has a stack of its own, makes system calls only, allocates nothing, takes no lock and never
//! returns. No handler of ours may run in it: every signal is blocked around its birth, and
//! `CLONE_CLEAR_SIGHAND` takes the handlers away before it gets our thread's mask back.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::io::PipeWriter;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd as _;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::LaunchError;
use super::Launched;
use super::image::Image;
use crate::command::CommandLine;
use crate::command::Environment;
use crate::process::control::Bounds;
use crate::process::family::Pen;
use crate::process::handover;
use crate::process::kernel;

/// What a child is started with.
#[derive(Debug)]
struct Launch<'a> {
    /// What it executes.
    image: &'a Image,
    /// Its standard streams, open in us.
    stdio: [RawFd; 3],
    /// Descriptors of ours that it finds after its streams, none of them numbered as low as that.
    sockets: &'a [RawFd],
    /// Its limits: resource, soft and hard (`getrlimit(2)`).
    limits: &'a [kernel::ResourceLimit],
    /// The directory of its control group.
    group: Option<BorrowedFd<'a>>,
}

/// Whether `clone3` has been refused as such: containers often forbid it (seccomp).
static REFUSED: AtomicBool = AtomicBool::new(false);

const CLONE_VM: u64 = 0x100;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of `linux/sched.h`.
#[derive(Default)]
#[repr(C, align(8))]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The child's stack. What runs on it needs a few hundred bytes.
const STACK: usize = 32 << 10;

#[repr(C, align(16))]
struct Stack([u8; STACK]);

thread_local! {
    /// While a child uses it, its thread waits.
    static CHILD_STACK: RefCell<Box<Stack>> = RefCell::new(Box::new(Stack([0; STACK])));
}

/// What the child works from, and where it says what failed.
#[repr(C)]
struct Plan {
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    envp: *const *const libc::c_char,
    cwd: *const libc::c_char,
    stdio: [RawFd; 3],
    sockets: *const RawFd,
    sockets_end: *const RawFd,
    limits: *const kernel::ResourceLimit,
    limits_end: *const kernel::ResourceLimit,
    mask: u64,
    /// The number of the error; 0 while there is none.
    error: i32,
}

/// The standard input of every child that is given none.
static NULL: LazyLock<io::Result<File>> =
    LazyLock::new(|| File::options().read(true).write(true).open("/dev/null"));

/// Starts a child that leads a process group of its own, with nothing to read but what `bounds` say and with
/// these pipes for its output, or with ours where there is none. Takes the control group out of `bounds` when the
/// child could not be born in it.
///
/// # Errors
/// As `clone3`, and whatever kept the child from its `exec`.
pub(in crate::process) fn start(
    command: &CommandLine,
    output: [Option<&PipeWriter>; 2],
    bounds: &mut Bounds,
) -> Result<Launched, LaunchError> {
    let Ok(null) = NULL.as_ref() else {
        return Err(LaunchError::Unavailable);
    };
    let image = Image::of(command).map_err(LaunchError::Exec)?;
    let [stdout, stderr] = output;
    let kept = handover::above(&bounds.sockets).map_err(LaunchError::Exec)?;
    let sockets: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    let stream = |pipe: Option<&PipeWriter>, ours| pipe.map_or(ours, AsRawFd::as_raw_fd);
    let input = bounds.input.as_ref();
    let input = input.map_or_else(|| null.as_raw_fd(), AsRawFd::as_raw_fd);
    let start_in = |group| {
        launch(&Launch {
            image: &image,
            stdio: [input, stream(stdout, 1), stream(stderr, 2)],
            sockets: &sockets,
            limits: &bounds.limits,
            group,
        })
    };
    let Some(pen) = &bounds.pen else {
        return start_in(None);
    };
    match pen.birthplace().map(|place| start_in(Some(place))) {
        None | Some(Err(LaunchError::Birth(_))) => {
            let launched = start_in(None)?;
            if pen.take_in(launched.pid).is_err() {
                bounds.pen = None;
            }
            Ok(launched)
        }
        Some(result) => result,
    }
}

/// Whether a child can be born into a control group and live. This one has nothing to execute, which
/// it can say only if it lives.
pub(in crate::process) fn can_be_born_in(pen: &Pen) -> bool {
    let nothing = CommandLine::new("/", "/".into(), Environment::default());
    let (Ok(image), Ok(null)) = (Image::of(&nothing), NULL.as_ref()) else {
        return false;
    };
    let born = launch(&Launch {
        image: &image,
        stdio: [null.as_raw_fd(); 3],
        sockets: &[],
        limits: &[],
        group: pen.birthplace(),
    });
    match born {
        Err(LaunchError::Exec(_)) => true,
        Err(LaunchError::Unavailable | LaunchError::Birth(_)) => false,
        Ok(killed) => {
            drop(kernel::reap(killed.pid, true));
            false
        }
    }
}

fn launch(launch: &Launch<'_>) -> Result<Launched, LaunchError> {
    // A stream of the child's that is one of our own would be overwritten before it is used.
    if REFUSED.load(Ordering::Relaxed)
        || launch
            .stdio
            .iter()
            .zip(0..)
            .any(|(&fd, at)| fd <= 2 && fd != at)
    {
        return Err(LaunchError::Unavailable);
    }
    let (limits, sockets) = (launch.limits.as_ptr_range(), launch.sockets.as_ptr_range());
    let mut plan = Plan {
        program: launch.image.program(),
        argv: launch.image.argv(),
        envp: launch.image.envp(),
        cwd: launch.image.cwd(),
        stdio: launch.stdio,
        sockets: sockets.start,
        sockets_end: sockets.end,
        limits: limits.start,
        limits_end: limits.end,
        mask: 0,
        error: 0,
    };
    let (pid, process) = clone(launch, &mut plan).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOSYS) => refused(),
        Some(libc::EPERM | libc::EINVAL) if launch.group.is_none() => refused(),
        _ => LaunchError::Birth(error),
    })?;
    if plan.error != 0 {
        // It has exited, or is about to.
        drop(kernel::reap(pid, true));
        return Err(LaunchError::Exec(io::Error::from_raw_os_error(plan.error)));
    }
    Ok(Launched { pid, process })
}

/// Has it seem as if `clone3` were refused, or not.
#[cfg(test)]
pub(in crate::process) fn refuse(refused: bool) {
    REFUSED.store(refused, Ordering::Relaxed);
}

fn refused() -> LaunchError {
    REFUSED.store(true, Ordering::Relaxed);
    LaunchError::Unavailable
}

#[expect(unsafe_code, reason = "no library offers clone3")]
fn clone(launch: &Launch<'_>, plan: &mut Plan) -> io::Result<(i32, OwnedFd)> {
    let mut process: RawFd = -1;
    let mut args = CloneArgs {
        flags: CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        pidfd: (&raw mut process).expose_provenance() as u64,
        exit_signal: libc::SIGCHLD.cast_unsigned().into(),
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    if let Some(group) = launch.group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    CHILD_STACK.with_borrow_mut(|stack| {
        args.stack = stack.0.as_mut_ptr().expose_provenance() as u64;
        plan.mask = block_all_signals();
        let mask = plan.mask;
        // SAFETY: the plan, with all that it points to, and the stack are borrowed until the child has
        // left our memory, because this thread waits for that. No handler of ours can run in it.
        let pid = unsafe { clone_and_run(&raw const args, plan) };
        restore_signals(mask);
        if pid < 0 {
            let error = i32::try_from(-pid).unwrap_or(libc::EIO);
            return Err(io::Error::from_raw_os_error(error));
        }
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        // SAFETY: with CLONE_PIDFD the kernel has just made this descriptor, and nobody else owns it.
        Ok((pid, unsafe { OwnedFd::from_raw_fd(process) }))
    })
}

/// Clones us; the child calls `child(plan)` on the stack that `args` name. Returns the child's process
/// id, or an error's number with a minus in front.
///
/// # Safety
/// See [`child`]; `args` must name a stack that nobody else uses.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the child must not return through our frame")]
unsafe fn clone_and_run(args: *const CloneArgs, plan: *mut Plan) -> i64 {
    let result: i64;
    // SAFETY: the kernel changes rax, rcx and r11 only (`syscall(2)`). The child goes on with our
    // registers and its own stack, and never comes back.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") plan,
            in("r13") child as unsafe extern "C" fn(*mut Plan) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// As above.
///
/// # Safety
/// See [`child`]; `args` must name a stack that nobody else uses.
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the child must not return through our frame")]
unsafe fn clone_and_run(args: *const CloneArgs, plan: *mut Plan) -> i64 {
    let result: i64;
    // SAFETY: the kernel changes x0 only (`syscall(2)`). The child goes on with our registers and its
    // own stack, and never comes back.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk 1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") args => result,
            in("x1") size_of::<CloneArgs>(),
            in("x20") plan,
            in("x21") child as unsafe extern "C" fn(*mut Plan) -> !,
        );
    }
    result
}

/// What the child does.
///
/// # Safety
/// To be called in a child that shares our memory, with a plan whose pointers are good, while every
/// signal is blocked and our thread waits.
#[expect(
    unsafe_code,
    reason = "only system calls are safe here, and they are not"
)]
unsafe extern "C" fn child(plan: *mut Plan) -> ! {
    // SAFETY: the caller's promise; from here on there are only system calls and plain reads.
    unsafe {
        prepare_and_execute(plan);
        loop {
            libc::syscall(libc::SYS_exit_group, 127);
        }
    }
}

/// Returns when something failed, with its number in the plan.
///
/// # Safety
/// As [`child`].
#[expect(
    unsafe_code,
    reason = "only system calls are safe here, and they are not"
)]
unsafe fn prepare_and_execute(plan: *mut Plan) {
    /// `struct sigaction` of the kernel, all zero: the default action.
    const DEFAULT: [u64; 4] = [0; 4];
    const KEEP: *const u64 = std::ptr::null();
    // SAFETY: the caller's promise. A failed call has left its number where `errno` is, which is our
    // waiting thread's own.
    unsafe {
        let failed = |result: libc::c_long| {
            if result < 0 {
                (*plan).error = *libc::__errno_location();
            }
            result < 0
        };
        if failed(libc::syscall(libc::SYS_setpgid, 0, 0)) {
            return;
        }
        let [stdin, stdout, stderr] = (*plan).stdio;
        for (from, to) in [(stdin, 0), (stdout, 1), (stderr, 2)] {
            if from != to && failed(libc::syscall(libc::SYS_dup3, from, to, 0)) {
                return;
            }
        }
        let (mut socket, mut to) = ((*plan).sockets, handover::FIRST);
        while socket < (*plan).sockets_end {
            if failed(libc::syscall(libc::SYS_dup3, *socket, to, 0)) {
                return;
            }
            (socket, to) = (socket.add(1), to + 1);
        }
        let mut limit = (*plan).limits;
        while limit < (*plan).limits_end {
            let values = &raw const (*limit).values;
            if failed(libc::syscall(
                libc::SYS_prlimit64,
                0,
                (*limit).resource,
                values,
                KEEP,
            )) {
                return;
            }
            limit = limit.add(1);
        }
        if failed(libc::syscall(libc::SYS_chdir, (*plan).cwd)) {
            return;
        }
        // std ignores PIPE in us, and an ignored signal would stay so.
        let pipe = libc::SIGPIPE;
        if failed(libc::syscall(
            libc::SYS_rt_sigaction,
            pipe,
            DEFAULT.as_ptr(),
            KEEP,
            8,
        )) {
            return;
        }
        let mask = &raw const (*plan).mask;
        if failed(libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            mask,
            KEEP,
            8,
        )) {
            return;
        }
        failed(libc::syscall(
            libc::SYS_execve,
            (*plan).program,
            (*plan).argv,
            (*plan).envp,
        ));
    }
}

/// Blocks every signal, also those that the C library keeps for itself. Returns what was blocked.
#[expect(unsafe_code, reason = "the C library leaves out its own signals")]
fn block_all_signals() -> u64 {
    let all = u64::MAX;
    let mut before = 0_u64;
    // SAFETY: both pointers are to live values of the kernel's size for signal sets, 8 bytes.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const all,
            &raw mut before,
            8,
        );
    }
    before
}

#[expect(unsafe_code, reason = "the C library leaves out its own signals")]
fn restore_signals(mask: u64) {
    let before = std::ptr::null_mut::<u64>();
    // SAFETY: the pointer is to a live value of 8 bytes; the null pointer asks for nothing.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            before,
            8,
        );
    }
}
