//! Nothing is built. Cargo wants a build script beside the `links` key, and that key keeps two copies of this
//! crate out of one program, where the second would silently record nothing.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
