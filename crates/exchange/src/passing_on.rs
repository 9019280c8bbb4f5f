//! Passing on: what must hold of a record that carries another agency's, before it is sent and when it comes.

use mufakat_record::kinds::onward::Carried;
use mufakat_record::{AgencyId, Code, Handling, Reason, Tlp, Verified};

use crate::Directory;

/// Reads and verifies what an onward record carries: the originator's signature, the permission where one is needed, and that
/// nothing got freer on the way.
pub fn check_onward(directory: &Directory, record: &Verified) -> Result<Carried, Reason> {
    let carried = Carried::read(record.header(), record.body())?.verify(directory)?;
    let header = record.header();
    let original = carried.original().header();
    let permitted = |to: &&AgencyId| carried.permission().is_some_and(|permission| permission.permits(to));
    let free = |to: &&AgencyId| **to == original.author || original.reaches(to);
    let outside = |to: &&AgencyId| !free(to) && needs_permission(directory, &original.handling, &header.author, to);
    if header.audience.iter().filter(outside).any(|to| !permitted(&to)) {
        return Err(Reason::OnwardNotPermitted);
    }
    Ok(carried)
}

/// Whether a record with this handling needs its originator's permission to be passed on to an agency: under H2 or originator
/// control always; by TLP 2.0 (FIRST, 2022) beyond the recipient's own organisation, which here is its party, when it is AMBER,
/// and beyond the recipient when it is AMBER+STRICT or RED.
fn needs_permission(directory: &Directory, handling: &Handling, bearer: &AgencyId, to: &AgencyId) -> bool {
    let controlled =
        handling.orcon == Some(true) || handling.codes.as_ref().is_some_and(|codes| codes.contains(&Code::H2));
    let register = directory.chain().current();
    let party = |id: &AgencyId| register.agency(id).map(|agency| &agency.party);
    controlled
        || match handling.tlp {
            Tlp::Red | Tlp::AmberStrict => true,
            Tlp::Amber => party(to) != party(bearer),
            Tlp::Green | Tlp::Clear => false,
        }
}
