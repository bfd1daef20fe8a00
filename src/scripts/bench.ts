/**
 * `npm run bench`: runs the benchmarks one after the other. `-- --json` prints one JSON object, figures by name;
 * `-- --only NAME` runs one, and is the way to those that take an hour. `--runs`, `--hours`, `--writes` and
 * `--objects` are for those that count them.
 */
import { parseArgs } from "node:util";
import type { BenchOptions } from "../testing/bench/bench.ts";
import { benches } from "../testing/bench/index.ts";
import { build } from "./build.ts";

const { values } = parseArgs({
	options: {
		json: { type: "boolean", default: false },
		only: { type: "string" },
		runs: { type: "string" },
		hours: { type: "string" },
		writes: { type: "string" },
		objects: { type: "string" },
		"no-build": { type: "boolean", default: false },
	},
});
const wanted = benches.filter((bench) => (values.only === undefined ? !bench.long : bench.name === values.only));
const options: BenchOptions = {};
for (const name of ["runs", "hours", "writes", "objects"] as const) {
	const text = values[name];
	if (text === undefined) continue;
	const value = Number(text);
	if (!(value > 0)) {
		console.error(`--${name} is a number above 0, not ${text}.`);
		process.exit(2);
	}
	options[name] = value;
}
if (wanted.length === 0) {
	console.error(`There is no benchmark ${values.only}. There are: ${benches.map((bench) => bench.name).join(", ")}`);
	process.exit(2);
}
const say = (text: string): void => {
	if (!values.json) console.log(text);
};
if (!values["no-build"]) {
	const log = console.log;
	if (values.json) console.log = () => {};
	await build();
	console.log = log;
}
const all: Record<string, number | string> = {};
let failed = false;
for (const bench of wanted) {
	say(`\n── ${bench.name}: ${bench.what}`);
	try {
		const figures = await bench.run(options);
		Object.assign(all, figures);
		for (const [name, value] of Object.entries(figures)) say(`${name.padEnd(44)} ${value}`);
	} catch (error) {
		failed = true;
		console.error(`${bench.name} failed:`, error);
	}
}
if (values.json) console.log(JSON.stringify(all));
process.exit(failed ? 1 : 0);
