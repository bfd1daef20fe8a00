/**
 * A program: an iSCSI target for other machines on the hub, at 10.88.0.2, with a unit of 1 GiB for each serial number (UUID) that it
 * is called with. Prints "ready", and serves until its machine ends.
 */
import { GiB } from "../../../../lib/units.ts";
import { makeBackingDisk } from "./backing-disk.ts";
import { makeIscsiTarget } from "./iscsi-target.ts";
import { makeHost } from "./lab-network.ts";

const host = await makeHost("server", ["10.88.0.2"]);
const serials = process.argv.slice(2);
const disks = await Promise.all(serials.map((serial) => makeBackingDisk(`/data/${serial}`, 1 * GiB)));
const units = disks.map(({ device }, at) => ({ device, serial: serials[at] ?? "" }));
await makeIscsiTarget({ name: "iqn.2026-11.test.limiquantix:shared", host, units });
console.log("ready");
// The host's namespace ends with this process.
await new Promise(() => setInterval(() => undefined, 1_000_000));
