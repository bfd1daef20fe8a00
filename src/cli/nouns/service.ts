/** `health`, `metrics`, `openapi`, `version`: the service itself. */
import { version } from "../../version.ts";
import { exitCode } from "../failure.ts";
import { type Verb, verb } from "../verb.ts";

export const healthVerb: Verb = verb({
	name: "health",
	summary: "Show whether the node is there, and what is missing",
	description: "Exit code 3 when there is no quorum. Needs no credentials.",
	examples: ["limiquantix health", "limiquantix health --server https://node1:8443 --output json"],
	async run(cli) {
		const { body: health } = await cli.call("healthGet", { timeoutMs: 10_000, anonymous: true });
		await cli.output.object(
			health,
			[
				["version", health.version],
				["node", health.nodeId],
				["leader", health.leader],
				["quorum", health.quorum],
				["applied index", health.appliedIndex],
				["hypervisor", health.hypervisor],
			],
			health.nodeId,
		);
		return health.quorum ? exitCode.ok : exitCode.unreachable;
	},
});

export const metricsVerb: Verb = verb({
	name: "metrics",
	summary: "Print the node's figures for Prometheus",
	examples: ["limiquantix metrics | grep '^limiquantix_'"],
	async run(cli) {
		const { body } = await cli.call("metricsGet");
		await cli.output.text(await body.text());
	},
});

export const openapiVerb: Verb = verb({
	name: "openapi",
	summary: "Print the description of the API (OpenAPI 3.1)",
	examples: ["limiquantix openapi > openapi.json", "limiquantix openapi --output yaml"],
	async run(cli) {
		const { body } = await cli.call("openapiGet");
		await cli.output.document(body);
	},
});

export const versionVerb: Verb = verb({
	name: "version",
	summary: "Print the version of this program",
	description: "That of the node is in limiquantix health.",
	examples: ["limiquantix version"],
	async run(cli) {
		if (cli.output.format === "table") await cli.output.text(version);
		else await cli.output.document({ version });
	},
});
