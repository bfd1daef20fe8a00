/** What is done with a VM's power. */
import { resolveId } from "../../names.ts";
import { duration, flag } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { vmArgument } from "./show.ts";

type PlainOperation = "vmStop" | "vmReset" | "vmPause" | "vmResume";

const plainAction = (name: string, operation: PlainOperation, summary: string, description?: string): Verb =>
	verb({
		name,
		summary,
		...(description === undefined ? {} : { description }),
		examples: [`limiquantix vm ${name} web`],
		arguments: vmArgument,
		options: waitOptions,
		async run(cli, { vm }, wait) {
			const id = await resolveId(cli, "vm", vm);
			await finishTask(cli, (await cli.call(operation, { path: { id } })).body, wait);
		},
	});

export const actionVerbs: readonly Verb[] = [
	verb({
		name: "start",
		summary: "Start a VM",
		examples: ["limiquantix vm start web", "limiquantix vm start web --no-wait"],
		arguments: vmArgument,
		options: { paused: flag("--paused", "with its CPUs halted"), ...waitOptions },
		async run(cli, { vm }, { paused, ...wait }) {
			const id = await resolveId(cli, "vm", vm);
			const body = paused ? { body: { paused } } : {};
			await finishTask(cli, (await cli.call("vmStart", { path: { id }, ...body })).body, wait);
		},
	}),
	verb({
		name: "shutdown",
		summary: "Shut a VM down",
		description: "Asks the guest. When it is not off after the grace time, it is stopped.",
		examples: ["limiquantix vm shutdown web", "limiquantix vm shutdown web --grace 5m"],
		arguments: vmArgument,
		options: {
			grace: duration("--grace <time>", "how long the guest may take, for example 2m (default: as the VM is set)"),
			...waitOptions,
		},
		async run(cli, { vm }, { grace, ...wait }) {
			const id = await resolveId(cli, "vm", vm);
			const options = grace === undefined ? {} : { body: given({ timeoutMs: grace }) };
			await finishTask(cli, (await cli.call("vmShutdown", { path: { id }, ...options })).body, wait);
		},
	}),
	plainAction(
		"stop",
		"vmStop",
		"Stop a VM at once, as if its power was cut",
		"The guest gets no chance to save anything.",
	),
	plainAction("reset", "vmReset", "Reset a VM, as its reset button would"),
	plainAction("pause", "vmPause", "Halt the CPUs of a VM"),
	plainAction("resume", "vmResume", "Let the CPUs of a paused VM go on"),
];
