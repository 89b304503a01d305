// A program that behaves as nvidia-smi does on a box with an RTX 3090, as far as the origin agent asks it:
// `--query-gpu`, `--query-compute-apps`, `--format=csv`, `-l`/`-lms`, the list of `-L`, and the table without arguments.
import { runSmi } from "./nvidia/program.ts";

runSmi(process.argv.slice(2), {
  switches: process.env["NVIDIA_SMI_SIM"],
  print: (text) => void process.stdout.write(text),
  exit: (code) => process.exit(code),
});
