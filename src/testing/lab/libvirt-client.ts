/** A libvirt client for lab tests: with the system's clock, and noting the events that it hears. */
import {
	createLibvirtClient,
	type LibvirtClient,
	type LibvirtClientOptions,
} from "../../hypervisor/libvirt/rpc/client.ts";
import type { LibvirtDomainEvent } from "../../hypervisor/libvirt/rpc/events.ts";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { waitUntil } from "./wait-until.ts";

export type RecordingClient = LibvirtClient & {
	/** What happened to that domain so far, in short: "started booted", "device-removed net0", "reboot". */
	heard(uuid: string): string[];
	untilHeard(uuid: string, what: string): Promise<unknown>;
};

/** Open, and to be closed by the caller. */
export async function openRecordingClient(
	options: Partial<LibvirtClientOptions> & { uri: string },
): Promise<RecordingClient> {
	const client = createLibvirtClient({
		clock: systemClock,
		random: systemRandom,
		logger: silentLogger,
		...options,
	});
	const events: LibvirtDomainEvent[] = [];
	client.onDomainEvent((event) => events.push(event));
	await client.open();
	const heard = (uuid: string) => events.filter((event) => event.domain.uuid === uuid).map(inShort);
	const untilHeard = (uuid: string, what: string) =>
		waitUntil(`the event "${what}"`, 20_000, () => heard(uuid).includes(what));
	// Not spread: `state` is a getter.
	return Object.assign(client, { heard, untilHeard });
}

function inShort(event: LibvirtDomainEvent): string {
	if (event.kind === "lifecycle") return `${event.event} ${event.detail}`;
	return "alias" in event ? `${event.kind} ${event.alias}` : event.kind;
}

/** The AppError that the promise must fail with. */
export async function failureOf(promise: Promise<unknown>): Promise<AppError> {
	const error = await promise.then(
		() => undefined,
		(e: unknown) => e,
	);
	if (!(error instanceof AppError)) throw new Error(`expected an AppError, got ${String(error)}`);
	return error;
}
