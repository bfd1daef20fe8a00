/**
 * `npm run bench`: runs the benchmarks one after the other. `-- --json` prints one JSON object, figures by name;
 * `-- --only NAME` runs one.
 */
import { parseArgs } from "node:util";
import { benches } from "../testing/bench/index.ts";
import { build } from "./build.ts";

const { values } = parseArgs({
	options: {
		json: { type: "boolean", default: false },
		only: { type: "string" },
		"no-build": { type: "boolean", default: false },
	},
});
const wanted = benches.filter((bench) => values.only === undefined || bench.name === values.only);
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
		const figures = await bench.run();
		Object.assign(all, figures);
		for (const [name, value] of Object.entries(figures)) say(`${name.padEnd(44)} ${value}`);
	} catch (error) {
		failed = true;
		console.error(`${bench.name} failed:`, error);
	}
}
if (values.json) console.log(JSON.stringify(all));
process.exit(failed ? 1 : 0);
