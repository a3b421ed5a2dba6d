//! A process with a number of our choice (`clone3(2)`, `set_tid`), which only a privileged one may ask for.

use std::ffi::CString;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// Such a process. It ends with this.
pub(super) struct Recycled(Pid);

impl Recycled {
    /// Starts a program with this number, all signals blocked. `None` when it may not be, or when the number is
    /// somebody's.
    pub(super) fn start(number: i32, args: &[&str], vars: &[String]) -> Option<Self> {
        let strings = |texts: &[&str]| -> Vec<CString> {
            let text = |text: &&str| CString::new(*text).expect("no NUL");
            texts.iter().map(text).collect()
        };
        let args = strings(args);
        let vars = strings(&vars.iter().map(String::as_str).collect::<Vec<_>>());
        let pid = start(number, &args, &vars);
        (pid > 0).then(|| Self(Pid::from_raw(pid)))
    }

    /// Its number.
    pub(super) fn pid(&self) -> i32 {
        self.0.as_raw()
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

#[expect(unsafe_code, reason = "no crate has clone3 with a number")]
fn start(number: i32, args: &[CString], vars: &[CString]) -> i32 {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let null = std::iter::once(std::ptr::null());
        strings
            .iter()
            .map(|text| text.as_ptr())
            .chain(null)
            .collect()
    };
    let (argv, envp) = (pointers(args), pointers(vars));
    let numbers = [number];
    // SAFETY: a structure of integers, for which zero is a value.
    let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
    clone.exit_signal = libc::SIGCHLD as u64;
    clone.set_tid = numbers.as_ptr() as u64;
    clone.set_tid_size = 1;
    // SAFETY: the set is filled before it is read.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live set.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: without CLONE_VM the child has a copy of everything, as after fork(2), and calls nothing but what is
    // safe there: sigprocmask, execve and _exit. All pointers are to what lives until then.
    unsafe {
        let pid = libc::syscall(libc::SYS_clone3, &raw const clone, size_of_val(&clone));
        if pid == 0 {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
            libc::execve(argv[0], argv.as_ptr(), envp.as_ptr());
            libc::_exit(127);
        }
        i32::try_from(pid).unwrap_or(-1)
    }
}
