//! Writes the test vectors of the protocol: `cargo run -p mufakat-formats --example vectors`.

#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> std::io::Result<()> {
    let folder = support::folder();
    std::fs::create_dir_all(&folder)?;
    for (name, content) in support::files() {
        std::fs::write(folder.join(name), &content)?;
        println!("{name}: {} bytes", content.len());
    }
    Ok(())
}
