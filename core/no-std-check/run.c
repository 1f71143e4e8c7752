/* Runs the check: links the static library into a program that has no Rust but it. */

unsigned dragnet_no_std_check(void);

/* The prebuilt `alloc` was compiled to unwind and names this; with `panic = "abort"` nobody calls it. */
void rust_eh_personality(void) {}

int main(void) { return dragnet_no_std_check() == 1 ? 0 : 1; }
