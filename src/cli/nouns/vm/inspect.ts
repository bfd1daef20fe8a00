/** Looking at and into a VM: figures, screen, serial log, libvirt's definition. */
import { open } from "node:fs/promises";
import { AppError } from "../../../lib/errors.ts";
import { formatBytes, MiB, parseBytes } from "../../../lib/units.ts";
import { safeFileName } from "../../download.ts";
import { usageError } from "../../failure.ts";
import { bytes, fullTime, percent } from "../../format.ts";
import { resolveId } from "../../names.ts";
import { flag, parsed } from "../../options.ts";
import { type Verb, verb } from "../../verb.ts";
import { historyOption, historyQuery } from "../common-options.ts";
import { getVm, vmArgument } from "./show.ts";

const maxLogBytes = 4 * MiB;
const rate = (bytesPerSecond: number | null): string =>
	bytesPerSecond === null ? "-" : `${formatBytes(Math.round(bytesPerSecond))}/s`;

export const inspectVerbs: readonly Verb[] = [
	verb({
		name: "metrics",
		summary: "Show live figures of a VM",
		examples: ["limiquantix vm metrics web"],
		arguments: vmArgument,
		async run(cli, { vm }) {
			const id = await resolveId(cli, "vm", vm);
			const { body } = await cli.call("vmMetricsGet", { path: { id } });
			await cli.output.object(
				body,
				[
					["CPU", percent(body.cpuUsedRatio)],
					["memory used", bytes(body.memoryUsedBytes)],
					["disk read", rate(body.diskReadBytesPerSecond)],
					["disk written", rate(body.diskWriteBytesPerSecond)],
					["network received", rate(body.netReceivedBytesPerSecond)],
					["network sent", rate(body.netSentBytesPerSecond)],
					["sampled", fullTime(body.sampledAt, cli.io.clock.nowMs())],
				],
				id,
			);
		},
	}),
	verb({
		name: "metrics-history",
		summary: "List figures of a VM in the last hour",
		examples: ["limiquantix vm metrics-history web", "limiquantix vm metrics-history web --last 5m -o json"],
		arguments: vmArgument,
		options: { last: historyOption },
		async run(cli, { vm }, { last }) {
			const id = await resolveId(cli, "vm", vm);
			const { items } = (await cli.call("vmMetricsHistoryGet", { path: { id }, query: historyQuery(cli, last) })).body;
			await cli.output.list(
				items,
				[
					{ header: "SAMPLED", value: (sample) => sample.sampledAt },
					{ header: "CPU", value: (sample) => percent(sample.cpuUsedRatio), right: true },
					{ header: "MEMORY", value: (sample) => bytes(sample.memoryUsedBytes), right: true },
					{ header: "DISK READ", value: (sample) => rate(sample.diskReadBytesPerSecond), right: true },
					{ header: "DISK WRITTEN", value: (sample) => rate(sample.diskWriteBytesPerSecond), right: true },
					{ header: "RECEIVED", value: (sample) => rate(sample.netReceivedBytesPerSecond), right: true },
					{ header: "SENT", value: (sample) => rate(sample.netSentBytesPerSecond), right: true },
				],
				(sample) => sample.sampledAt,
			);
		},
	}),
	verb({
		name: "screenshot",
		summary: "Save a picture of a VM's screen",
		examples: ["limiquantix vm screenshot web", "limiquantix vm screenshot web - > screen.png"],
		arguments: { ...vmArgument, "[file]": "PNG file (default: its name, in this folder); - is standard output" },
		options: { force: flag("--force", "replace the file when it is there") },
		async run(cli, { vm, file }, { force }) {
			if (file === "-" && cli.io.stdout.isTTY)
				throw usageError("A picture does not belong on a terminal. Name a file.");
			const id = await resolveId(cli, "vm", vm);
			const path = file ?? safeFileName(`${(await getVm(cli, id)).body.name}.png`);
			const { body } = await cli.call("vmScreenshotGet", { path: { id } });
			const picture = new Uint8Array(await body.arrayBuffer());
			if (path === "-") return cli.io.stdout.write(picture);
			await writeNew(path, picture, force);
			await cli.output.say(`${path}: ${formatBytes(picture.length)}`);
		},
	}),
	verb({
		name: "serial-log",
		summary: "Print the end of a VM's serial log",
		description: "On a terminal, control characters are shown instead of sent, unless --raw is given.",
		examples: ["limiquantix vm serial-log web", "limiquantix vm serial-log web --max 1MiB > web.log"],
		arguments: vmArgument,
		options: {
			max: parsed("--max <size>", "so much of the end (default 64KiB, at most 4MiB)", (given) => {
				const count = parseBytes(given);
				if (count < 1 || count > maxLogBytes) throw new AppError("invalid", "It is from 1 to 4MiB.");
				return count;
			}),
			raw: flag("--raw", "as the guest wrote it, also to a terminal"),
		},
		async run(cli, { vm }, { max, raw }) {
			const id = await resolveId(cli, "vm", vm);
			const query = max === undefined ? {} : { query: { maxBytes: max } };
			const { body } = await cli.call("vmSerialLogGet", { path: { id }, ...query });
			// What the guest wrote may be no UTF-8: off a terminal its bytes stay as they are.
			if (raw || !cli.io.stdout.isTTY) return cli.io.stdout.write(new Uint8Array(await body.arrayBuffer()));
			await cli.output.text(await body.text());
		},
	}),
	verb({
		name: "domain-xml",
		summary: "Print libvirt's definition of a VM, for support",
		examples: ["limiquantix vm domain-xml web"],
		arguments: vmArgument,
		async run(cli, { vm }) {
			const id = await resolveId(cli, "vm", vm);
			const { body } = await cli.call("vmDomainXmlGet", { path: { id } });
			await cli.output.text(await body.text());
		},
	}),
];

async function writeNew(path: string, data: Uint8Array, force: boolean): Promise<void> {
	try {
		const handle = await open(path, force ? "w" : "wx");
		try {
			await handle.writeFile(data);
		} finally {
			await handle.close();
		}
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "EEXIST")
			throw new AppError("already-exists", `${path} is there already. Give --force to replace it.`);
		throw new AppError("storage", `${path} cannot be written: ${error instanceof Error ? error.message : error}`);
	}
}
