//! `cargo stt ports`: who has which port, and ports for commands that are no tests.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use stt_core::discovery::of_ports;
use stt_core::discovery::tells_of_ports;
use stt_core::ports::Lease;
use stt_core::ports::Leases;
use stt_core::run::port_list;

use crate::commands::finish;
use crate::commands::repeat::unseen;
use crate::env::Surroundings;
use crate::error::Error;
use crate::error::Kind;
use crate::exit_code::Exit;
use crate::printer::Printer;
use crate::render::show_ports;
use crate::settings::LeaseRequest;
use crate::settings::PortsRequest;

/// Shows them.
pub(super) fn list(request: &PortsRequest, printer: &Printer) -> Result<Exit, Error> {
    let list = port_list(&request.place).map_err(|error| unseen(&error))?;
    let text = if request.json {
        let json = serde_json::to_string(&list);
        let json = json.map_err(|error| Error::from_source(Kind::Bug, &error))?;
        format!("{json}\n")
    } else {
        show_ports(
            &list,
            request.home.as_deref(),
            printer.out_width(),
            printer.out_colour(),
        )
    };
    Ok(finish(printer.out(&text), printer))
}

/// Becomes the command, which then has the ports for itself. Returns only why it could not.
pub(super) fn lease(request: &LeaseRequest, surroundings: &Surroundings) -> Error {
    let ports = match keep(request) {
        Ok(ports) => ports,
        Err(error) => return error,
    };
    let Some((program, arguments)) = request.command.split_first() else {
        return Error::new(Kind::Usage, "no command is given");
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, _) in surroundings.vars.iter() {
        if tells_of_ports(name) {
            command.env_remove(name);
        }
    }
    let error = command.envs(of_ports(&ports)).exec();
    let message = format!("`{}` can't be run", program.display());
    Error::new(Kind::Setup, message).caused_by(&error)
}

/// Takes the ports, for as long as this process lives.
fn keep(request: &LeaseRequest) -> Result<Vec<u16>, Error> {
    // Two commands of one script begin at different ports.
    let seed = std::process::id().to_string();
    let leases = Leases::new(&seed, request.place.temporary.clone());
    let taken = leases.take(request.number);
    let taken = taken.map_err(|error| {
        Error::from_source(Kind::Setup, &error).hint("`cargo stt ports` says who has them")
    })?;
    let ports = taken.iter().map(Lease::number).collect();
    for lease in taken {
        let kept = lease.keep_over_exec();
        kept.map_err(|error| Error::from_source(Kind::Setup, &error))?;
    }
    Ok(ports)
}
