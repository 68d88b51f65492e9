// A Node worker that says what it is told to on standard input: JSON, one a line. Run: node speaker.mjs CLIENT
import readline from "node:readline";

const { connect } = await import(process.argv[2]);
const tree = connect();
tree.onCommand("reload", (args) => ({ reloaded: args }));
tree.onCommand("fail", async (args) => {
  throw new Error(args.why);
});
tree.onStop(() => tree.goodbye("asked to"));

for await (const line of readline.createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  if (step.do === "ready") tree.ready();
  else if (step.do === "beat") tree.beat(step.status, step.fields);
  else if (step.do === "activity") tree.activity(step.name, step.fields);
  else if (step.do === "goodbye") tree.goodbye("no work is left");
}
