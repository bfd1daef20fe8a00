/**
 * Shutting clients out of the cluster: its monitors put their addresses on the blocklist, and from then on every OSD refuses them, with what they
 * still had on the way, as soon as they know the list. A client on it stays dead for its program, taken off or not: a QEMU has to be started anew.
 * Whoever opens an image afterwards knows the list, and so does each OSD that it reads from or writes to, so it may write at once. The user needs more than the profile rbd to take addresses off:
 * docs/operators-guide.md.
 */
import { isIP } from "node:net";
import { AppError } from "../../lib/errors.ts";
import type { PoolFencing, VolumeClient } from "../driver.ts";
import { requireId } from "../names.ts";
import { BlocklistAnswer, LocksAnswer, readAnswer } from "./answers.ts";
import { errno, errnoOfCeph } from "./ceph-error.ts";
import type { RbdContext } from "./context.ts";
import { notFound } from "./describe.ts";
import { volumeName } from "./names.ts";
import { hostOf } from "./rbd-images.ts";
import { orMissing } from "./runner.ts";

/** Ceph forgets an address after an hour by default: a host that stood still for longer would write again. */
const yearSeconds = 365 * 24 * 3600;

export class RbdFencing implements PoolFencing {
	readonly #context: Pick<RbdContext, "runner" | "images">;

	constructor(context: Pick<RbdContext, "runner" | "images">) {
		this.#context = context;
	}

	async clients(volumeId: string): Promise<VolumeClient[]> {
		requireId(volumeId, "volume");
		const { images } = this.#context;
		const [locks, watchers] = await Promise.all([this.#locks(volumeId), images.watchers(volumeName(volumeId))]);
		const owners = new Set(locks.map(({ address }) => address));
		return [...new Set([...owners, ...watchers])].map((address) => ({
			...{ address, host: hostOf(address), hasLock: owners.has(address) },
		}));
	}

	async fence(address: string): Promise<void> {
		await this.#context.runner.changeCeph(["osd", "blocklist", "add", entityAddress(address), `${yearSeconds}`]);
	}

	async unfence(address: string): Promise<void> {
		const { runner } = this.#context;
		await orMissing(runner.changeCeph(["osd", "blocklist", "rm", entityAddress(address)])).catch((cause) => {
			if (errnoOfCeph(cause) !== errno.accessDenied) throw cause;
			const caps = `allow command "osd blocklist"`;
			throw new AppError("storage", `The Ceph user may not take an address off the blocklist: it needs ${caps}.`, {
				cause,
			});
		});
	}

	async fenced(): Promise<string[]> {
		const text = await this.#context.runner.ceph(["osd", "blocklist", "ls", "--format", "json"]);
		// Single addresses and ranges, as one list after the other.
		const lists = `[${text.trim().replace(/\]\s*\[/g, "],[")}]`;
		return readAnswer(BlocklistAnswer, lists, "ceph osd blocklist ls")
			.flat()
			.map(({ addr }) => (addr.endsWith(":0/0") ? hostOf(addr) : addr))
			.sort();
	}

	async takeFrom(volumeId: string, address: string): Promise<void> {
		requireId(volumeId, "volume");
		const { runner, images } = this.#context;
		// First: a client whose lock alone is gone takes it again.
		await this.fence(address);
		for (const lock of await this.#locks(volumeId)) {
			if (!isOf(lock.address, address)) continue;
			const spec = images.spec(volumeName(volumeId));
			// It is shut out already: librbd would do it once more, for the hour of the monitors.
			const only = "--rbd_blocklist_on_break_lock=false";
			await orMissing(runner.changeRbd(["lock", "rm", only, "--", spec, lock.id, lock.locker]));
		}
	}

	async #locks(volumeId: string): Promise<LocksAnswer> {
		const { runner, images } = this.#context;
		const spec = images.spec(volumeName(volumeId));
		const text = await orMissing(runner.rbd(["lock", "ls", "--format", "json", "--", spec]));
		if (text === null) throw notFound(volumeId);
		return readAnswer(LocksAnswer, text, "rbd lock ls");
	}
}

/** Whether a client is the one, or on the host, that `address` says. */
export function isOf(client: string, address: string): boolean {
	const [one, other] = [parsed(client), parsed(address)];
	return one.host === other.host && (other.client === null || one.client === other.client);
}

/** `client`: port and nonce, null for a host. IPv6 addresses have many spellings; Ceph uses the one, people any. */
function parsed(address: string): { host: string; client: string | null } {
	const client = /:(\d+\/\d+)$/.exec(address)?.[1] ?? null;
	const host = hostOf(address);
	return { host: isIP(host) === 6 ? canonicalIpv6(host) : host, client: client === "0/0" ? null : client };
}

/** RFC 5952, as the parser of URLs writes it; what has a zone stays as it is. */
function canonicalIpv6(host: string): string {
	const url = `http://[${host}]/`;
	return URL.canParse(url) ? new URL(url).hostname : host;
}

/** "10.0.0.1:0/123" and "[fd00::1]:0/123" are of one client, an address of IP alone is of all on a host, as IP:0/0 is to Ceph. */
function entityAddress(address: string): string {
	if (isIP(address) === 4) return `${address}:0/0`;
	if (isIP(address) === 6) return `[${address}]:0/0`;
	const [, host = "", port, nonce] = /^(.+):(\d{1,5})\/(\d{1,10})$/.exec(address) ?? [];
	if (isIP(hostOf(`${host}:0/0`)) === 0 || port === undefined || nonce === undefined)
		throw new AppError("invalid", "This is no address of a host or of a client of Ceph.");
	return address;
}
