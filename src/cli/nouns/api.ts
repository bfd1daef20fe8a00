/** `limiquantix api`: any request, for what no verb does. */

import { problemOf } from "../../lib/api-client.ts";
import { AppError } from "../../lib/errors.ts";
import { randomHex } from "../../lib/random.ts";
import type { Cli } from "../cli.ts";
import { usageError } from "../failure.ts";
import { readInput } from "../input-files.ts";
import { flag, integer, text } from "../options.ts";
import { type Verb, verb } from "../verb.ts";

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const timeoutMs = 120_000;

export const apiVerb: Verb = verb({
	name: "api",
	summary: "Send a request to the API",
	description:
		"Prints the answer: JSON, or what else it is. POST requests carry an Idempotency-Key. See limiquantix openapi for what there is.",
	examples: [
		"limiquantix api GET '/v1/vms?limit=10'",
		'limiquantix api PATCH /v1/cluster --data \'{"name": "berlin"}\'',
		"limiquantix api POST /v1/vms --data @vm.json",
		"jq .vm all.json | limiquantix api POST /v1/vms --data -",
	],
	arguments: { "<method>": "GET, POST, PUT, PATCH or DELETE", "<path>": "path, with its query" },
	options: {
		data: text("-d, --data <body>", "the body; @file or - (standard input) for one that is somewhere else"),
		contentType: text("--content-type <type>", "of the body (default application/json)"),
		ifMatch: integer("--if-match <generation>", "only when the object still has this generation", {
			min: 1,
			max: Number.MAX_SAFE_INTEGER,
		}),
		include: flag("-i, --include", "print status and headers first"),
	},
	async run(cli, { method: given, path }, { data, contentType, ifMatch, include }) {
		const method = given.toUpperCase();
		if (!methods.includes(method)) throw usageError(`"${given}" is none of ${methods.join(", ")}.`);
		// What follows the server's address must not become part of it ("@host", ":port").
		if (!/^\/(?!\/)[\x21-\x7e]*$/.test(path)) throw usageError(`"${path}" is no path. Write for example /v1/vms.`);
		const body = data === undefined ? undefined : await bodyOf(cli, data);
		const headers: Record<string, string> = {
			accept: "application/json, application/problem+json, */*;q=0.5",
			...cli.connection().headers(),
			...(body === undefined ? {} : { "content-type": contentType ?? "application/json" }),
			...(ifMatch === undefined ? {} : { "if-match": `"${ifMatch}"` }),
			...(method === "POST" ? { "idempotency-key": randomHex(cli.io.random, 16) } : {}),
		};
		const response = await request(cli, path, { method, headers, ...(body === undefined ? {} : { body }) });
		if (include) await printHead(cli, response);
		if (!response.ok) throw await problemOf(response);
		await printBody(cli, response);
	},
});

async function bodyOf(cli: Cli, data: string): Promise<string | Blob> {
	if (data === "-") return readInput(cli, "-");
	if (!data.startsWith("@")) return data;
	const file = Bun.file(data.slice(1));
	if (!(await file.exists())) throw usageError(`${data.slice(1)} cannot be read.`);
	return file;
}

async function request(cli: Cli, path: string, init: RequestInit): Promise<Response> {
	const signal = AbortSignal.any([cli.interrupt, AbortSignal.timeout(timeoutMs)]);
	const { baseUrl, fetch } = cli.connection();
	try {
		return await fetch(baseUrl + path, { ...init, signal });
	} catch (error) {
		if (error instanceof AppError) throw error;
		if (cli.interrupt.aborted) throw new AppError("canceled", "Interrupted.", { context: { interrupted: true } });
		throw new AppError("unavailable", "There was no answer in time.", { cause: error });
	}
}

async function printHead(cli: Cli, response: Response): Promise<void> {
	const lines = [`${response.status}`, ...[...response.headers].map(([name, value]) => `${name}: ${value}`), ""];
	await cli.output.text(`${lines.join("\n")}\n`);
}

async function printBody(cli: Cli, response: Response): Promise<void> {
	const type = response.headers.get("content-type") ?? "";
	if (response.status === 204) return;
	if (/^application\/([a-z.+-]+\+)?json\b/.test(type)) return cli.output.document(await response.json());
	if (type.startsWith("text/event-stream")) throw usageError("This stream has no end. Use limiquantix event watch.");
	if (/^(text\/|application\/xml)/.test(type)) return cli.output.text(await response.text());
	if (cli.io.stdout.isTTY) throw usageError(`The answer is ${type || "binary"}. Send it into a file.`);
	for await (const chunk of response.body ?? []) await cli.io.stdout.write(chunk);
}
