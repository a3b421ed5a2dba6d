//! A real container engine, for tests of what a run leaves there.

use std::os::unix::net::UnixStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::Lab;
use crate::rootless;
use crate::skipped::skipped;
use crate::stt::Stt;
use crate::wait::DEADLINE;
use crate::wait::until;

/// Calls docker; what it says, or its complaints.
pub fn docker(args: &[&str]) -> Result<String, String> {
    call(&DOCKER, args)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn call(program: &Program, args: &[&str]) -> Result<String, String> {
    let output = program.command().args(args).output();
    let output = output.map_err(|error| format!("{}: {error}", program.name))?;
    let said = if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(output.stderr)
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    said.map(text).map_err(text)
}

/// The command of an engine.
#[derive(Clone, Debug)]
struct Program {
    name: &'static str,
    /// What configures it, where the machine's does not do.
    config: Option<Utf8PathBuf>,
    /// Where the engine is that it is to ask, where it can't do it itself.
    url: Option<String>,
}

const DOCKER: Program = Program {
    name: "docker",
    config: None,
    url: None,
};

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(self.name);
        let url = self.url.iter();
        command.args(url.flat_map(|url| ["--remote", "--url", url]));
        if let Some(config) = &self.config {
            command.env("CONTAINERS_CONF", config);
        }
        command
    }

    /// The same in a shell's script.
    fn words(&self) -> String {
        let url = self.url.iter();
        url.fold(self.name.to_owned(), |name, url| {
            format!("{name} --remote --url {url}")
        })
    }
}

/// Podman's service, on a socket of its own. It ends with this.
#[derive(Debug)]
struct Service {
    child: Child,
    socket: Utf8PathBuf,
    is_a_users: bool,
    dir: TempDir,
}

impl Service {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn start(is_a_users: bool) -> Result<(Self, Program), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let dir = tempfile::tempdir().map_err(|error| text(&error))?;
        let path = Utf8Path::from_path(dir.path()).ok_or("a strange path")?;
        let (config, socket) = (path.join("containers.conf"), path.join("podman.sock"));
        let mut settings = ULIMITS.to_owned();
        if is_a_users {
            // He has no service manager.
            settings.push_str("cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n");
        }
        fs::write(&config, settings).map_err(|error| text(&error))?;
        let mut command = if is_a_users {
            rootless::service(path, &config, &socket)?
        } else {
            let mut command = Command::new("podman");
            command.env("CONTAINERS_CONF", &config);
            command.args(["system", "service", "--time=0", &format!("unix://{socket}")]);
            command
        };
        let complaints = fs::File::create(path.join("complaints")).map_err(|error| text(&error))?;
        // Where it is started it leaves a file when the kernel takes one of its containers.
        command
            .current_dir(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(complaints.into_parts().0);
        let child = command
            .spawn()
            .map_err(|error| format!("podman: {error}"))?;
        let url = is_a_users.then(|| format!("unix://{socket}"));
        let mut service = Self {
            child,
            socket,
            is_a_users,
            dir,
        };
        let ended = until("podman listens, or ends", DEADLINE, || {
            let ended = service.child.try_wait().expect("our own child");
            let listens = UnixStream::connect(&service.socket).is_ok();
            (listens || ended.is_some()).then_some(ended)
        });
        if ended.is_some() {
            let complaints = service.dir.path().join("complaints");
            return Err(fs::read_to_string(complaints).unwrap_or_default());
        }
        let program = Program {
            name: "podman",
            config: Some(config),
            url,
        };
        Ok((service, program))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(dir) = Utf8Path::from_path(self.dir.path()).filter(|_| self.is_a_users) {
            rootless::end_all(dir);
        }
    }
}

/// A configuration by which Podman works here: a container may not be given more of these than whoever starts it has.
const ULIMITS: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
     [engine]\nexit_command_delay = 1\n";

/// What its images are tagged with.
const TAGS: [&str; 4] = ["busybox", "libraries", "empty", "foreign"];

/// An image with busybox in it, and a container, a network and a volume of somebody else. Removed with this.
#[derive(Debug)]
pub struct Engine {
    /// The name of the network, the volume and the container.
    pub name: String,
    /// The image.
    pub image: String,
    /// The id of the container.
    pub stranger: String,
    program: Program,
    service: Option<Service>,
    /// Where the configuration of a command is that no service helps.
    _config: Option<TempDir>,
}

impl Engine {
    /// Docker's. `None`, with a word about it, where it does not answer or busybox is missing.
    pub fn find() -> Option<Self> {
        let engine = docker(&["version", "--format", "{{.Server.Version}}"]);
        let engine = engine.and_then(|_| Self::set_up(DOCKER, None, None));
        engine
            .inspect_err(|why| skipped("a Docker engine", why))
            .ok()
    }

    /// Podman's, on a socket of its own. `None`, with a word about it, where there is no Podman or no busybox.
    pub fn podman() -> Option<Self> {
        let engine = Service::start(false);
        let engine =
            engine.and_then(|(service, program)| Self::set_up(program, Some(service), None));
        engine.inspect_err(|why| skipped("Podman", why)).ok()
    }

    /// The Podman of a user ([`rootless::USER`]), on a socket of its own. `None`, with a word about it, where we can't
    /// become somebody else, or he can't have one.
    pub fn rootless() -> Option<Self> {
        let engine = if nix::unistd::geteuid().is_root() {
            Service::start(true)
        } else {
            Err("only root can become somebody else".to_owned())
        };
        let engine =
            engine.and_then(|(service, program)| Self::set_up(program, Some(service), None));
        let what = "a user's own Podman";
        engine.inspect_err(|why| skipped(what, why)).ok()
    }

    /// Podman's command alone, which no service helps. `None`, with a word about it, where there is no Podman or no
    /// busybox.
    pub fn podman_alone() -> Option<Self> {
        let alone = || -> Result<Self, String> {
            let text = |error: &dyn std::fmt::Display| error.to_string();
            let dir = tempfile::tempdir().map_err(|error| text(&error))?;
            let path = Utf8Path::from_path(dir.path()).ok_or("a strange path")?;
            let config = path.join("containers.conf");
            fs::write(&config, ULIMITS).map_err(|error| text(&error))?;
            let program = Program {
                name: "podman",
                config: Some(config),
                url: None,
            };
            Self::set_up(program, None, Some(dir))
        };
        alone().inspect_err(|why| skipped("Podman", why)).ok()
    }

    fn set_up(
        program: Program,
        service: Option<Service>,
        config: Option<TempDir>,
    ) -> Result<Self, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let call = |args: &[&str]| call(&program, args);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("stt-test-{}-{number}", std::process::id());
        let image = format!("{name}:busybox");
        import(&program, &image, "true")?;
        // Its label looks like one of ours, and is another run's. Others label theirs as well.
        let label = "dev.cargo-stt.run.00000000-0000-4000-8000-000000000000=app t";
        call(&["network", "create", "--label", label, &name])?;
        call(&["volume", "create", "--label", label, &name])?;
        let volume = format!("{name}:/data");
        // A user's containers get into one only with a device that may be closed to him.
        let network = if program.url.is_some() { "none" } else { &name };
        let options = [
            "run",
            "-d",
            "--label",
            label,
            "--label",
            "org.testcontainers=true",
            "--label",
            "com.docker.compose.project=app",
            "--label",
            "com.gitlab.gitlab-runner.managed=true",
            "--network",
            network,
            "-v",
            &volume,
            "--name",
            &name,
        ];
        let stranger = call(&[&options[..], &[&image, "sleep", "600"]].concat())?;
        Ok(Self {
            name,
            image,
            stranger,
            program,
            service,
            _config: config,
        })
    }

    /// The name of its command.
    pub fn program(&self) -> &'static str {
        self.program.name
    }

    /// Calls the engine's command; what it says, or its complaints.
    pub fn call(&self, args: &[&str]) -> Result<String, String> {
        call(&self.program, args)
    }

    /// Where it listens, if not in the usual place.
    pub fn host(&self) -> Option<String> {
        let service = self.service.as_ref();
        service.map(|service| format!("unix://{}", service.socket))
    }

    /// `cargo stt ARGS` on the fixture.
    pub fn json<'lab>(&self, lab: &'lab Lab, args: &[&str]) -> Stt<'lab> {
        let mut stt = lab.json(args).env("CONTAINERS_IMAGE", &self.image);
        if let Some(config) = &self.program.config {
            stt = stt
                .env("CONTAINERS_PROGRAM", self.program.name)
                .env("CONTAINERS_CONF", config);
        }
        match self.host() {
            None => stt,
            Some(host) => stt.without("DOCKER_HOST").env("CONTAINER_HOST", host),
        }
    }

    /// The containers that were made from the image, but for the stranger.
    ///
    /// # Panics
    /// The engine does not answer.
    pub fn containers(&self) -> Vec<String> {
        // Podman knows what was made here by a longer name only.
        let here = self.program.config.as_ref().map_or("", |_| "localhost/");
        let mut all = Vec::new();
        for tag in TAGS {
            let filter = format!("ancestor={here}{}:{tag}", self.name);
            let said = self.call(&["ps", "-a", "-q", "--no-trunc", "--filter", &filter]);
            let said = said.expect("the engine answers");
            let ids = said.lines().filter(|id| *id != self.stranger);
            all.extend(ids.map(str::to_owned));
        }
        all.sort();
        all.dedup();
        all
    }

    /// Makes an image with busybox, a mark, and what programs of this machine are linked with, of what lies here.
    ///
    /// # Panics
    /// Something of that is not here.
    pub fn image_with_libraries(&self) -> String {
        let image = format!("{}:libraries", self.name);
        let add = "touch $dir/boxed-image; for file in $(ldd /bin/ls /bin/sh /usr/bin/env $(command -v rustc) | \
                   grep -o '/[^ ]*\\(libc.so\\|libgcc_s\\|ld-linux\\)[^ ]*' | sort -u); do \
                   mkdir -p $dir$(dirname $file); cp -L $file $dir$file; done";
        import(&self.program, &image, add).expect("the image is made");
        image
    }

    /// Makes an image without anything.
    ///
    /// # Panics
    /// The engine refuses.
    pub fn empty_image(&self) -> String {
        let image = format!("{}:empty", self.name);
        import(&self.program, &image, "rm -r $dir/bin").expect("the image is made");
        image
    }

    /// Makes an image for another machine than this one; returns its architecture as well.
    ///
    /// # Panics
    /// The engine refuses.
    pub fn foreign_image(&self) -> (String, &'static str) {
        let architecture = if cfg!(target_arch = "aarch64") {
            "amd64"
        } else {
            "arm64"
        };
        let image = format!("{}:foreign", self.name);
        let name = self.program.words();
        // An archive as `docker save` writes it: only there an engine takes the machine from whoever makes the image.
        let script = format!(
            "set -e; dir=$(mktemp -d); trap 'rm -r $dir' EXIT; cd $dir; mkdir root; tar -C root -c . >layer.tar; \
             sum=$(sha256sum <layer.tar | cut -d ' ' -f 1); \
             printf '{{\"architecture\":\"{architecture}\",\"os\":\"linux\",\"config\":{{}},\"rootfs\":\
             {{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}}}' $sum >config.json; \
             echo '[{{\"Config\":\"config.json\",\"RepoTags\":[\"{image}\"],\"Layers\":[\"layer.tar\"]}}]' >manifest.json; \
             tar -c layer.tar config.json manifest.json | {name} load"
        );
        shell(&self.program, &script).expect("the image is made");
        (image, architecture)
    }

    /// The images that were built on top of the image, whatever they are called.
    ///
    /// # Panics
    /// The engine does not answer.
    pub fn built(&self) -> Vec<String> {
        let said = self.call(&["images", "-a", "-q", "--no-trunc"]);
        let said = said.expect("the engine answers");
        let inspect = |what: &str, id: &str| self.call(&["inspect", "--format", what, id]);
        let own = inspect("{{.Id}}", &self.image).expect("the image is there");
        // Those of other tests come and go.
        let is_on_top = |id: &&str| inspect("{{.Parent}}", id).is_ok_and(|parent| parent == own);
        said.lines().filter(is_on_top).map(str::to_owned).collect()
    }

    /// Nothing of a run is there, and everything of the stranger.
    ///
    /// # Panics
    /// With what is there, or is not.
    pub fn assert_clean(&self) {
        assert_eq!(self.containers(), [""; 0], "containers after the run");
        let format = "{{.State.Running}} {{.RestartCount}}";
        let state = self.call(&["inspect", "--format", format, &self.stranger]);
        assert_eq!(state.as_deref(), Ok("true 0"), "the stranger");
        for kind in ["network", "volume"] {
            self.call(&[kind, "inspect", &self.name])
                .expect("it is somebody else's");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for id in self.containers().iter().chain([&self.stranger]) {
            // Podman waits for who has not died yet.
            drop(self.call(&["kill", id]));
            drop(self.call(&["rm", "-f", "-v", id]));
        }
        // Those of the tests are called like it, and something behind that.
        let own = format!("{}-", self.name);
        let volumes = self.call(&["volume", "ls", "-q"]).unwrap_or_default();
        for volume in volumes.lines().filter(|volume| volume.starts_with(&own)) {
            drop(self.call(&["volume", "rm", volume]));
        }
        drop(self.call(&["network", "rm", &self.name]));
        drop(self.call(&["volume", "rm", &self.name]));
        for tag in TAGS {
            drop(self.call(&["rmi", &format!("{}:{tag}", self.name)]));
        }
    }
}

/// Makes an image with busybox in it, of what lies on this machine, and what a script makes of its root, `$dir`.
fn import(program: &Program, image: &str, then: &str) -> Result<(), String> {
    let name = program.words();
    let script = format!(
        "set -e; busybox=$(command -v busybox); dir=$(mktemp -d); trap 'rm -r $dir' EXIT; chmod 755 $dir; mkdir $dir/bin; \
         cp $busybox $dir/bin/busybox; for name in sh sleep cat echo; do ln -s busybox $dir/bin/$name; done; \
         {then}; tar -C $dir -c . | {name} import - {image}"
    );
    shell(program, &script)
}

/// Has a shell do something with an engine's command.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn shell(program: &Program, script: &str) -> Result<(), String> {
    let mut shell = Command::new("sh");
    if let Some(config) = &program.config {
        shell.env("CONTAINERS_CONF", config);
    }
    let made = shell.args(["-c", script]).output();
    let made = made.map_err(|error| error.to_string())?;
    if made.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&made.stderr).into_owned())
    }
}

/// What a test has left at the engine, as its result tells it: kinds and ids.
///
/// # Panics
/// The result is none.
pub fn left_at_engine(result: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let things = result["leak"]["containers"]
        .as_array()
        .into_iter()
        .flatten();
    things
        .map(|thing| (text(&thing["kind"]), text(&thing["id"])))
        .collect()
}
