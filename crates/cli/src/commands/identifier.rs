//! `template` and `identifier`: what helps with writing a report; neither needs a node.

use mufakat_record::identifier::Identifier;
use serde_json::json;

use crate::args::{IdentifierArgs, TemplateArgs};
use crate::failure::refused;
use crate::output::Output;
use crate::templates;

/// Prints a report to fill in. It is JSON for people and programs alike.
pub(super) fn template(options: &TemplateArgs, output: Output) -> anyhow::Result<()> {
    // The command line takes no other names.
    let text = templates::of(&options.name).unwrap_or_default();
    Ok(output.bytes(text.as_bytes())?)
}

/// Says the canonical form of an identifier, or the rule that it breaks.
pub(super) fn identifier(options: &IdentifierArgs, output: Output) -> anyhow::Result<()> {
    let identifier = Identifier { identifier_type: options.identifier_type, value: options.value.clone() };
    let canonical = identifier.canonical().map_err(|fault| refused("not-of-type", fault.to_string()))?;
    output.show(&json!(identifier), || format!("{canonical}\n"))?;
    Ok(())
}
