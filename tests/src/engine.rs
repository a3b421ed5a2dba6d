//! A real container engine, for tests of what a run leaves there.

use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::lab::Lab;
use crate::skipped::skipped;
use crate::stt::Stt;

/// Calls docker; what it says, or its complaints.
pub fn docker(args: &[&str]) -> Result<String, String> {
    call("docker", args)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn call(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(output.stderr)
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
    said.map(text).map_err(text)
}

/// An image with busybox in it, and a container, a network and a volume of somebody else. Removed with this.
#[derive(Debug)]
pub struct Engine {
    /// The name of the network, the volume and the container.
    pub name: String,
    /// The image.
    pub image: String,
    /// The id of the container.
    pub stranger: String,
    program: &'static str,
}

impl Engine {
    /// Docker's. `None`, with a word about it, where it does not answer or busybox is missing.
    pub fn find() -> Option<Self> {
        let engine = Self::set_up("docker");
        engine
            .inspect_err(|why| skipped("a Docker engine", why))
            .ok()
    }

    fn set_up(program: &'static str) -> Result<Self, String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let call = |args: &[&str]| call(program, args);
        call(&["version", "--format", "{{.Server.Version}}"])?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("stt-test-{}-{number}", std::process::id());
        let image = format!("{name}:busybox");
        import(program, &image)?;
        // Its label looks like one of ours, and is another run's.
        let label = "dev.cargo-stt.run.00000000-0000-4000-8000-000000000000=app t";
        call(&["network", "create", "--label", label, &name])?;
        call(&["volume", "create", "--label", label, &name])?;
        let volume = format!("{name}:/data");
        let options = [
            "run",
            "-d",
            "--label",
            label,
            "--network",
            &name,
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
        })
    }

    /// Calls the engine's command; what it says, or its complaints.
    pub fn call(&self, args: &[&str]) -> Result<String, String> {
        call(self.program, args)
    }

    /// `cargo stt ARGS` on the fixture.
    pub fn json<'lab>(&self, lab: &'lab Lab, args: &[&str]) -> Stt<'lab> {
        lab.json(args).env("CONTAINERS_IMAGE", &self.image)
    }

    /// The containers that were made from the image, but for the stranger.
    ///
    /// # Panics
    /// The engine does not answer.
    pub fn containers(&self) -> Vec<String> {
        let filter = format!("ancestor={}", self.image);
        let said = self.call(&["ps", "-a", "-q", "--no-trunc", "--filter", &filter]);
        let said = said.expect("the engine answers");
        let ids = said.lines().filter(|id| *id != self.stranger);
        ids.map(str::to_owned).collect()
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
        for id in self.containers() {
            drop(self.call(&["rm", "-f", "-v", &id]));
        }
        drop(self.call(&["rm", "-f", "-v", &self.stranger]));
        // Those of the tests are called like it, and something behind that.
        let own = format!("{}-", self.name);
        let volumes = self.call(&["volume", "ls", "-q"]).unwrap_or_default();
        for volume in volumes.lines().filter(|volume| volume.starts_with(&own)) {
            drop(self.call(&["volume", "rm", volume]));
        }
        drop(self.call(&["network", "rm", &self.name]));
        drop(self.call(&["volume", "rm", &self.name]));
        drop(self.call(&["rmi", &self.image]));
    }
}

/// Makes an image with busybox in it, of what lies on this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn import(program: &str, image: &str) -> Result<(), String> {
    let script = format!(
        "set -e; busybox=$(command -v busybox); dir=$(mktemp -d); trap 'rm -r $dir' EXIT; mkdir $dir/bin; \
         cp $busybox $dir/bin/busybox; for name in sh sleep cat echo; do ln -s busybox $dir/bin/$name; done; \
         tar -C $dir -c . | {program} import - {image}"
    );
    let made = Command::new("sh").args(["-c", &script]).output();
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
