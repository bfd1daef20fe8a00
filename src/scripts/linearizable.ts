/**
 * `npm run linearizable -- FILE…`: judges recorded histories, in the form of Jepsen's etcd log or in the project's own
 * (src/testing/linearizability/json-lines.ts). Prints `FILE linearizable` or `FILE not-linearizable`, a line each, in
 * the order given; `--explain` says on standard error why not.
 *
 * Exit code 0 when every file could be judged, whatever the verdict: the verdict is the output, so that a script can
 * tell "not linearizable" from "could not say". 2 when a file could not be judged (bad input, memory limit; the others
 * are judged all the same) or when the command line is wrong.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { isAppError } from "../lib/errors.ts";
import { checkHistory } from "../testing/linearizability/check-history.ts";
import { readHistory } from "../testing/linearizability/read-history.ts";

const { files, explain, memoryLimitBytes } = readArguments();
// npm runs scripts at the project's root and keeps the caller's folder here.
const folder = process.env.INIT_CWD ?? process.cwd();
for (const file of files) {
	try {
		const verdict = checkHistory(readHistory(resolve(folder, file)), { memoryLimitBytes });
		console.log(`${file} ${verdict.linearizable ? "linearizable" : "not-linearizable"}`);
		if (!verdict.linearizable && explain)
			console.error(`${file} (numbers in brackets are its lines)\n${verdict.explanation}\n`);
	} catch (error) {
		console.error(`${file}: ${isAppError(error) || isSystemError(error) ? error.message : String(error)}`);
		if (!isAppError(error) && !isSystemError(error)) throw error;
		process.exitCode = 2;
	}
}

function readArguments(): { files: string[]; explain: boolean; memoryLimitBytes: number } {
	const usage = "usage: npm run linearizable -- [--explain] [--memory-limit-mib N] FILE…";
	try {
		const { values, positionals } = parseArgs({
			allowPositionals: true,
			options: {
				explain: { type: "boolean", default: false },
				"memory-limit-mib": { type: "string", default: "1024" },
			},
		});
		const limit = Number(values["memory-limit-mib"]);
		if (positionals.length > 0 && Number.isInteger(limit) && limit > 0)
			return { files: positionals, explain: values.explain, memoryLimitBytes: limit * 1024 ** 2 };
		console.error(usage);
	} catch (error) {
		console.error(`${error instanceof Error ? error.message : error}\n${usage}`);
	}
	process.exit(2);
}

/** What the file system answers: no permission, an input or output error. */
function isSystemError(error: unknown): error is Error {
	return error instanceof Error && "syscall" in error;
}
