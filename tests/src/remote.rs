//! The Docker engine of this machine as one that is far away: behind TLS, or behind SSH. Only on loopback.

use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use tempfile::TempDir;

use crate::skipped::skipped;

/// Who comes here is counted, and gets a program of his own that speaks with him. All of them end with this.
#[derive(Debug)]
pub struct Remote {
    /// What sends clients here.
    pub variables: Vec<(&'static str, String)>,
    /// A directory for whatever else belongs to it.
    pub dir: Utf8PathBuf,
    door: Arc<Door>,
    address: SocketAddr,
    keeper: Option<JoinHandle<()>>,
    _held: TempDir,
}

/// Where clients come in.
#[derive(Debug, Default)]
struct Door {
    clients: AtomicUsize,
    closed: AtomicBool,
    speakers: Mutex<Vec<Child>>,
    /// Those to whom nobody speaks.
    waiting: Mutex<Vec<TcpStream>>,
}

impl Remote {
    /// Behind TLS. `None`, with a word about it, where `openssl` or `stunnel` is missing.
    pub fn tls() -> Option<Self> {
        let made = Self::at_certificates(|dir| {
            let config = dir.join("stunnel.conf");
            let pem = |name: &str| dir.join(name).into_string();
            let text = format!(
                "foreground = yes\ndebug = 0\nsyslog = no\nverifyChain = yes\nconnect = /var/run/docker.sock\n\
                 cert = {}\nkey = {}\nCAfile = {}\n",
                pem("cert.pem"),
                pem("key.pem"),
                pem("ca.pem")
            );
            fs::write(&config, text).map_err(|error| error.to_string())?;
            let stunnel = program("stunnel")?;
            Ok(Some([stunnel, config.into_string()].to_vec()))
        });
        made.inspect_err(|why| skipped("an engine behind TLS", why))
            .ok()
    }

    /// Behind TLS, and never a word from it.
    pub fn silent() -> Option<Self> {
        let made = Self::at_certificates(|_| Ok(None));
        made.inspect_err(|why| skipped("an engine behind TLS", why))
            .ok()
    }

    fn at_certificates(
        speaker: impl FnOnce(&Utf8Path) -> Result<Option<Vec<String>>, String>,
    ) -> Result<Self, String> {
        let held = tempfile::tempdir().map_err(|error| error.to_string())?;
        let dir = Utf8Path::from_path(held.path()).ok_or("a strange path")?;
        let dir = dir.to_owned();
        // One certificate is all that there is: whoever shows it is known by it.
        let (key, cert) = (dir.join("key.pem"), dir.join("cert.pem"));
        let request = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=remote",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key.as_str(),
            "-out",
            cert.as_str(),
        ];
        call("openssl", &request)?;
        fs::copy(&cert, dir.join("ca.pem")).map_err(|error| error.to_string())?;
        let mut remote = Self::open(held, speaker(&dir)?)?;
        remote.variables = vec![
            ("DOCKER_HOST", format!("tcp://{}", remote.address)),
            ("DOCKER_TLS_VERIFY", "1".to_owned()),
            ("DOCKER_CERT_PATH", dir.into_string()),
        ];
        Ok(remote)
    }

    /// The same by a context of Docker's.
    ///
    /// # Panics
    /// Docker's command does not make one.
    #[must_use]
    pub fn by_context(mut self) -> Self {
        let config = self.dir.join("config").into_string();
        let pem = |name: &str| format!("{name}={}", self.dir.join(format!("{name}.pem")));
        let endpoint = format!(
            "host=tcp://{},{},{},{}",
            self.address,
            pem("ca"),
            pem("cert"),
            pem("key")
        );
        let create = ["context", "create", "far", "--docker", &endpoint];
        call("docker", &[&["--config", &config], &create[..]].concat()).expect("docker makes it");
        self.variables = vec![
            ("DOCKER_CONFIG", config),
            ("DOCKER_CONTEXT", "far".to_owned()),
        ];
        self
    }

    /// Behind SSH. `None`, with a word about it, where `ssh` or `sshd` is missing.
    pub fn ssh() -> Option<Self> {
        let made = Self::try_ssh();
        made.inspect_err(|why| skipped("an engine behind SSH", why))
            .ok()
    }

    fn try_ssh() -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let held = tempfile::tempdir().map_err(text)?;
        let dir = Utf8Path::from_path(held.path()).ok_or("a strange path")?;
        let dir = dir.to_owned();
        let [host, user] = ["host", "user"].map(|name| dir.join(name));
        for key in [&host, &user] {
            call(
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-f", key.as_str()],
            )?;
        }
        if nix::unistd::geteuid().is_root() {
            // Where the service has never run, root's is missing.
            fs::create_dir_all("/run/sshd").map_err(text)?;
        }
        let docker = program("docker")?;
        let place = Utf8Path::new(&docker).parent().ok_or("a strange path")?;
        let config = dir.join("sshd_config");
        let lines = format!(
            "HostKey {host}\nAuthorizedKeysFile {user}.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={place}:/usr/bin:/bin\n"
        );
        fs::write(&config, lines).map_err(text)?;
        let sshd = program("sshd").or_else(|_| program("/usr/sbin/sshd"))?;
        let arguments = ["-i", "-e", "-f", config.as_str()];
        let speaker: Vec<_> = [&*sshd]
            .iter()
            .chain(&arguments)
            .map(ToString::to_string)
            .collect();
        let mut remote = Self::open(held, Some(speaker))?;

        let (ip, port) = (remote.address.ip(), remote.address.port());
        let key = fs::read_to_string(format!("{host}.pub")).map_err(text)?;
        fs::write(dir.join("known"), format!("[{ip}]:{port} {key}")).map_err(text)?;
        let config = dir.join("ssh_config");
        let lines = format!(
            "StrictHostKeyChecking yes\nUserKnownHostsFile {dir}/known\nIdentityFile {user}\nIdentitiesOnly yes\n"
        );
        fs::write(&config, lines).map_err(text)?;
        // What clients call knows of all that: the files of whoever runs this are of no use here.
        let (bin, real) = (dir.join("bin"), program("ssh")?);
        fs::create_dir(&bin).map_err(text)?;
        let client = bin.join("ssh");
        fs::write(
            &client,
            format!("#!/bin/sh\nexec {real} -F {config} \"$@\"\n"),
        )
        .map_err(text)?;
        fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).map_err(text)?;
        let name = call("id", &["-un"])?;
        let path = call("printenv", &["PATH"])?;
        remote.variables = vec![
            ("DOCKER_HOST", format!("ssh://{name}@{ip}:{port}")),
            ("PATH", format!("{bin}:{path}")),
        ];
        Ok(remote)
    }

    /// Has somebody stand at a door: this program speaks with who comes in; nobody, where there is none.
    fn open(held: TempDir, speaker: Option<Vec<String>>) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let door = Arc::new(Door::default());
        let dir = Utf8Path::from_path(held.path()).ok_or("a strange path")?;
        let dir = dir.to_owned();
        let (own, log) = (Arc::clone(&door), dir.join("log"));
        let keep = move || own.keep(&listener, speaker.as_deref(), &log);
        Ok(Self {
            variables: Vec::new(),
            dir,
            door,
            address,
            keeper: Some(std::thread::spawn(keep)),
            _held: held,
        })
    }

    /// How many clients have come so far.
    pub fn clients(&self) -> usize {
        self.door.clients.load(Ordering::SeqCst)
    }

    /// Calls Docker's command as a client of this; what it says, or its complaints.
    pub fn docker(&self, args: &[&str]) -> Result<String, String> {
        let mut all: Vec<_> = self
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        all.push("docker".to_owned());
        all.extend(args.iter().map(ToString::to_string));
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        call("env", &all)
    }

    /// Calls what a run has told as a shell would.
    pub fn shell(&self, script: &str) -> Result<String, String> {
        let pairs = self.variables.iter();
        let mut all: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        all.extend(["sh", "-c", script].map(str::to_owned));
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        call("env", &all)
    }
}

impl Door {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn keep(&self, listener: &TcpListener, speaker: Option<&[String]>, log: &Utf8Path) {
        for client in listener.incoming() {
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            let client = client.expect("a client");
            self.clients.fetch_add(1, Ordering::SeqCst);
            let Some([program, args @ ..]) = speaker else {
                lock(&self.waiting).push(client);
                continue;
            };
            let errors = fs::OpenOptions::new().create(true).append(true).open(log);
            let errors = errors.expect("a temporary directory is writable");
            let input = client.try_clone().expect("a descriptor");
            let child = Command::new(program)
                .args(args)
                .stdin(OwnedFd::from(input))
                .stdout(OwnedFd::from(client))
                .stderr(errors.into_parts().0)
                .spawn();
            lock(&self.speakers).push(child.expect("the program starts"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.door.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
        for mut child in lock(&self.door.speakers).drain(..) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Where a program is.
fn program(name: &str) -> Result<String, String> {
    call("sh", &["-c", &format!("command -v {name}")])
        .map_err(|_| format!("there is no `{name}` here"))
}

/// Runs a program to its end; what it says, or its complaints.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn call(program: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program}: {}", text(&output.stderr)))
    }
}
