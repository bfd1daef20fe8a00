/**
 * Names in the volume group, made of ids only:
 *
 *   lqx-POOL        the group. "lvm_" + this is sanlock's lockspace, which may have 48 characters: there is no room for more
 *   v-VOLUME-N      the N-th disk of a volume; records.ts says which is written to
 *   i-IMAGE         an image
 *   thin            the thin pool, where the layout has one
 */
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { type Random, randomHex } from "../../lib/random.ts";
import { requireId } from "../names.ts";

export const thinPoolName = "thin";

export function groupName(poolId: string): string {
	requireId(poolId, "pool");
	return `lqx-${poolId}`;
}

export type LvName = { kind: "volume"; id: string; number: number } | { kind: "image"; id: string };

export function lvName(name: LvName): string {
	requireId(name.id, name.kind);
	return name.kind === "image" ? `i-${name.id}` : `v-${name.id}-${name.number}`;
}

/** Null for what is not ours: lvmlock, the thin pool and its parts, what somebody else made. */
export function parseLvName(text: string): LvName | null {
	const image = /^i-(.{36})$/.exec(text);
	if (image?.[1] && isUuid(image[1])) return { kind: "image", id: image[1] };
	const volume = /^v-(.{36})-([1-9][0-9]{0,5})$/.exec(text);
	if (volume?.[1] && isUuid(volume[1])) return { kind: "volume", id: volume[1], number: Number(volume[2]) };
	return null;
}

/** Under this name on every node, so that it may stand in a qcow2 header. */
export const devicePath = (group: string, lv: string): string => `/dev/${group}/${lv}`;

/** A new id for a device of LVM, as LVM writes it. */
export function newDeviceUuid(random: Random): string {
	const digits = randomHex(random, 16);
	return [0, 6, 10, 14, 18, 22, 26].map((at, index) => digits.slice(at, at + (index % 6 === 0 ? 6 : 4))).join("-");
}

/** How LVM names it in device-mapper: dashes of both names are doubled. */
export const mapperName = (group: string, lv: string): string =>
	`${group.replaceAll("-", "--")}-${lv.replaceAll("-", "--")}`;

export type Portal = { host: string; port: number };
const defaultPort = 3260;

/** HOST, HOST:PORT, [IPV6]:PORT. */
export function parsePortal(text: string): Portal {
	const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9][A-Za-z0-9._-]*))(?::([0-9]{1,5}))?$/.exec(text);
	const host = match?.[1] ?? match?.[2];
	const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
	if (host === undefined || port < 1 || port > 65_535)
		throw new AppError("invalid", `"${text.slice(0, 100)}" is not an address of an iSCSI portal.`);
	return { host, port };
}

/** As iscsiadm takes and writes it. */
export const portalText = ({ host, port }: Portal): string =>
	host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;

export const volumeLv = (id: string, number: number): string => lvName({ kind: "volume", id, number });
export const imageLv = (id: string): string => lvName({ kind: "image", id });

/** Tags of a group: of which pool it is, and which node has begun to make it. */
export const poolTag = (poolId: string): string => `lqx.pool=${poolId}`;
export const makingTag = (nodeId: string): string => `lqx.making=${nodeId}`;
