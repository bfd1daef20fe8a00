/** All commands against a whole node on simulated drivers: what a person types in a first hour and later. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { isSealed } from "../lib/sealed-stream.ts";
import { MiB } from "../lib/units.ts";
import { permissions } from "../model/permissions.ts";
import { fakeIo } from "../testing/cli/fake-io.ts";
import { cli } from "../testing/cli/run-cli.ts";
import {
	copiedImage,
	limitedDisk,
	passingVolume,
	snapshotsOfVm,
	thickVolumes,
	wanderingVolume,
	whatNobodyOwns,
} from "../testing/cli/storage-commands.ts";
import { adminPassword, startWholeNode, type WholeNode } from "../testing/cli/whole-node.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { commandOfOperation } from "./operations.ts";

let node: WholeNode;
let folder: string;
beforeAll(async () => {
	node = await startWholeNode();
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
});
afterAll(async () => {
	await node.close();
	rmSync(folder, { recursive: true, force: true });
});

/** The node lives in real time: so does who asks for something that expires. */
const realTime = (options: Parameters<typeof fakeIo>[0] = {}) => fakeIo({ ...options, clock: systemClock });

/** As root on the node. Fails when the command does. */
async function root(words: string | readonly string[], options: Parameters<typeof cli>[1] = {}): Promise<string> {
	const argv = [...(typeof words === "string" ? words.split(" ") : words), "--run-dir", node.runDir];
	const { code, out, err } = await cli(argv, { io: realTime(), ...options });
	expect({ words, code, err: code === 0 ? "" : err }).toEqual({ words, code: 0, err: "" });
	return out;
}
const json = async (words: string) => JSON.parse(await root(`${words} --output json`));
const rootCode = async (words: string) => (await cli([...words.split(" "), "--run-dir", node.runDir])).code;

describe("the first hour", () => {
	test("what there is", async () => {
		expect(await root("health")).toContain("quorum         yes");
		expect(await json("cluster show")).toMatchObject({ name: "test", demoAvailable: true, firstRun: true });
		expect(await root("me")).toContain("local");
		expect(await json("node list")).toHaveLength(1);
		expect(await root("node show node-1")).toContain("node-1");
		expect(await root("pool show local")).toContain("ready");
		expect(await root("network show default")).toContain("10.20.0.1/24");
		expect(await root("vm list")).toBe("NAME  STATE  CPUS  MEMORY  ADDRESSES  NODE  TAGS  CREATED  ID\n");
		expect(await root("metrics")).toContain("# TYPE");
		expect((await json("openapi")).openapi).toStartWith("3.1");
	});

	test("an image from this machine", async () => {
		const path = join(folder, "tiny.raw");
		writeFileSync(path, Buffer.alloc(20 * MiB, 7));
		const out = await root(["image", "upload", path, "--tag", "small", "--description", "for tests"]);
		expect(out).toContain("ready");
		const image = await json("image show tiny");
		expect(image).toMatchObject({ phase: "ready", format: "raw", fileSizeBytes: 20 * MiB, tags: ["small"] });
		expect(image.sha256).toBe(image.expectedSha256);
		const copy = join(folder, "copy.raw");
		await root(["image", "download", "tiny", copy]);
		expect(Buffer.compare(await Bun.file(copy).bytes(), await Bun.file(path).bytes())).toBe(0);
		await root("image edit tiny --name tiny-linux --no-tags");
		expect(await root("image list")).toContain("tiny-linux");
	});

	test("images that the node fetches", async () => {
		node.pool.hostFiles.set("/srv/install.iso", isoBytes());
		expect(await json("image import install --path /srv/install.iso")).toMatchObject({ phase: "ready", format: "iso" });
		const [{ id: nodeId, name }] = await json("node list");
		const web = await json(`image import web --url http://192.0.2.10/web.raw --node ${name}`);
		expect(web).toMatchObject({ phase: "ready", nodeId });
	});

	test("a VM of it", async () => {
		const vm = await json(
			"vm create web --image tiny-linux --disk 1GiB --cpus 1 --memory 256MiB --network default --cdrom install --tag a --cloud-init-user anna --ssh-key ssh-ed25519",
		);
		expect(vm).toMatchObject({ name: "web", status: { powerState: "running" }, spec: { cloudInit: { kind: "form" } } });
		const shown = await root("vm show web");
		expect(shown).toContain("disk: web-disk-0, 1 GiB qcow2, virtio");
		expect(shown).toContain("CD-ROM: install");
		expect(shown).toContain("NIC: default");
		expect(await root("vm list --state running")).toContain("node-1");
		expect(await root("vm list --state stopped -q")).toBe("");
		await node.serveVnc(vm.id);
	});

	test("its power", async () => {
		const state = async () => (await json("vm show web")).status.powerState;
		expect(await root("vm pause web")).toMatch(/^vm\.pause web: done/);
		expect(await state()).toBe("paused");
		await root("vm resume web");
		await root("vm reset web");
		await root("vm shutdown web --grace 30s");
		expect(await state()).toBe("stopped");
		expect(await rootCode("vm pause web")).toBe(1);
		await root("vm start web --paused");
		expect(await state()).toBe("paused");
		await root("vm stop web");
		const taskId = (await root("vm start web --no-wait --quiet")).trim();
		expect(await json(`task wait ${taskId} --timeout 10s`)).toMatchObject({ state: "succeeded" });
		expect(await json(`task show ${taskId}`)).toMatchObject({ kind: "vm.start" });
		expect(await state()).toBe("running");
	});

	test("a look into it", async () => {
		const picture = join(folder, "web.png");
		await root(["vm", "screenshot", "web", picture]);
		expect((await Bun.file(picture).bytes())[0]).toBe(0x89);
		expect(await root("vm domain-xml web")).toContain("<domain");
		await root("vm serial-log web");
	});

	test("its serial console", async () => {
		const { id } = await json("vm show web");
		const io = fakeIo({ tty: true });
		const running = cli(["vm", "console", "web", "--run-dir", node.runDir], { io });
		await io.until(({ err }) => err.includes("Connected to web"));
		node.hypervisor.serialOutput(id, Buffer.from("login: "));
		await io.until(({ out }) => out.includes("login: "));
		io.feed("\u001d");
		expect((await running).code).toBe(0);
	});

	test("its screen in a VNC viewer, over TLS", async () => {
		const { secret } = await json("token create vnc --role operator --expires 1h");
		const io = fakeIo();
		const words = ["vm", "vnc", "web", "--once", "--server", node.url, "--fingerprint", node.fingerprint];
		const running = cli(words, { io, environment: { LIMIQUANTIX_TOKEN: secret } });
		await io.until(({ out }) => out.includes("\n"));
		const heard = await new Promise<string>((resolve, reject) => {
			let text = "";
			const viewer = connect(Number(io.out.trim().split(":")[1]), "127.0.0.1");
			viewer.on("error", reject);
			viewer.on("data", (data: Buffer) => {
				text += data.toString("latin1");
				if (text === "RFB 003.008\n") viewer.write("RFB 003.008\n");
				else if (text.length === 24) viewer.end();
			});
			viewer.on("close", () => resolve(text));
		});
		expect(heard).toBe("RFB 003.008\nRFB 003.008\n");
		expect((await running).code).toBe(0);
	});
});

describe("later", () => {
	test("a volume comes and goes", () => passingVolume({ node, root, json, rootCode }, join(folder, "data.img")));
	test("thick volumes, copies and disks", () => thickVolumes({ node, root, json, rootCode }));
	test("what nobody owns in a pool is found, deleted, adopted", () => whatNobodyOwns({ node, root, json, rootCode }));
	test("a disk is limited, and not any more", () => limitedDisk({ node, root, json, rootCode }));
	test("snapshots of a VM", () => snapshotsOfVm({ node, root, json, rootCode }));

	test("discs are changed", async () => {
		await root("vm cdrom web --eject");
		expect((await json("vm show web")).spec.cdroms).toEqual([{ id: "cdrom-0", imageId: null }]);
		await root("vm cdrom web install");
	});

	test("networks and pools", async () => {
		await root("network create lab --nat 10.77.0.1/24 --description tests");
		await root("vm edit web --add-nic lab");
		expect(await rootCode("network delete lab --yes")).toBe(1);
		await root("vm edit web --remove-nic nic-1");
		await root("network edit lab --name lab2");
		await root("network leases lab2");
		await root("network delete lab2 --yes");
		await root(["pool", "create", "fast", "--path", join(folder, "fast")]);
		await wanderingVolume({ node, root, json, rootCode });
		await copiedImage({ node, root, json, rootCode });
		await root("pool edit fast --name faster --description NVMe");
		expect(await root("pool list")).toContain("faster");
		await root("pool delete faster --yes");
		expect(await root("pool test local")).toContain("ok");
		expect(await root("pool discover --type nfs --nfs-server nas1")).toContain("EXPORT");
		await root("pool create shared --type nfs --nfs-server nas1 --export /export/vms --mount-option nconnect=4");
		await root("pool edit shared --nfs-server nas2 --no-mount-options");
		expect(await json("pool show shared")).toMatchObject({ type: "nfs", config: { server: "nas2", mountOptions: [] } });
		const key = join(folder, "key");
		writeFileSync(key, "AQBSdFhgAAAAABAAq5ZB3cGJ2uC8m9uTjVXQ3g==\n");
		const access = ["--monitor", "10.0.0.1", "--user", "vms", "--key-file", key];
		await root(["pool", "create", "rbd", "--type", "ceph-rbd", ...access, "--ceph-pool", "rbd"]);
		await root(["pool", "edit", "rbd", "--key-file", key]);
		const iscsi = "--portal 10.0.0.5 --target iqn.2026-01.net.example:disks --wwid naa.6001405a1b2c3d4e";
		expect(await rootCode(`pool create san --type iscsi-lvm ${iscsi} --chap-user node`)).toBe(2);
		await root(`pool create san --type iscsi-lvm ${iscsi} --layout thin`);
		expect(await root("pool list")).toContain("nas2:/export/vms");
		for (const name of ["shared", "rbd", "san"]) await root(`pool delete ${name} --yes`);
		expect(await root("network list -q")).toBe(`${fixtureId(4)}\n`);
	});

	test("the demo, and VMs of others", async () => {
		expect(await json("vm create-demo")).toMatchObject({ name: "demo", status: { powerState: "running" } });
		node.hypervisor.addForeign({
			id: "6f3f9c9e-2d4a-4f0b-9a53-0d2a3f1b5c11",
			name: "old-web",
			powerState: "stopped",
			...{ vcpus: 1, maxVcpus: 1, memoryBytes: 256 * MiB, maxMemoryBytes: 256 * MiB, firmware: "bios" },
			...{ disks: [], nics: [], obstacles: [] },
		});
		expect(await root("foreign-vm list")).toContain("old-web");
		await root("foreign-vm adopt old-web");
		expect(await root("vm list")).toContain("old-web");
		await root("vm delete old-web --yes");
	});

	test("users, tokens, sessions, audit", async () => {
		const password = join(folder, "password");
		writeFileSync(password, "a long enough password\n");
		await root(["user", "create", "anna", "--role", "viewer", "--display-name", "Anna", "--password-file", password]);
		await root("user edit anna --role operator");
		expect(await json("user show anna")).toMatchObject({ role: "operator", displayName: "Anna" });

		const homeDir = join(folder, "anna");
		const anna = (words: string | readonly string[]) =>
			cli(typeof words === "string" ? words.split(" ") : words, { io: realTime({ homeDir }) });
		const at = ["--server", node.url, "--fingerprint", node.fingerprint];
		expect((await anna(["login", ...at, "-u", "anna", "--password-file", password])).code).toBe(0);
		expect((await anna("me")).out).toContain("anna");
		expect((await anna("vm list")).out).toContain("web");
		expect(await anna("user list")).toMatchObject({ code: 1, out: "" });
		expect(JSON.parse((await anna("session list -o json")).out)).toHaveLength(1);
		expect((await anna("token create mine --expires 30d")).code).toBe(0);
		expect((await anna("token delete mine --yes")).code).toBe(0);
		const next = join(folder, "next");
		writeFileSync(next, "another long password\n");
		expect((await anna(["me", "password", "--current-file", password, "--password-file", next])).code).toBe(0);
		expect((await anna(["login", ...at, "-u", "anna", "--password-file", password])).code).toBe(1);
		expect((await anna("logout")).code).toBe(0);
		expect((await anna([...["vm", "list"], ...at])).err).toContain("limiquantix login");

		await root(["user", "reset-password", "anna", "--password-file", password]);
		const again = await anna(["login", ...at, "-u", "anna", "--password-file", password]);
		expect(again.err).toContain("limiquantix me password");
		const sessions = await json("session list --all");
		const [session] = sessions.filter(({ userName }: { userName: string }) => userName === "anna");
		await root(`session end ${session.id}`);
		expect((await anna("me")).code).toBe(1);
		expect(await root("token list --all")).toContain("vnc");
		await root("token delete vnc --yes");
		expect(await root("audit list --user anna --outcome denied")).toContain("userList");
		await root("user delete anna --yes");
		expect(await root("user list -q")).toBe(`${fixtureId(5)}\n`);
	});

	test("a backup of the state, which is not written over", async () => {
		const path = join(folder, "backup.db");
		expect(await root(["cluster", "backup", path, "--unsealed"])).toStartWith(`${path}: `);
		expect(await Bun.file(path).slice(0, 15).text()).toBe("SQLite format 3");
		expect(statSync(path).mode & 0o077).toBe(0);
		expect(await rootCode(`cluster backup ${path} --unsealed`)).toBe(1);
		await root(["cluster", "backup", path, "--force", "--unsealed"]);
		const passphrase = join(folder, "passphrase");
		await Bun.write(passphrase, "correct horse battery\n");
		await root(["cluster", "backup", path, "--force", "--passphrase-file", passphrase]);
		const head = new Uint8Array(await Bun.file(path).slice(0, 8).arrayBuffer());
		expect(isSealed(head)).toBe(true);
		expect(await rootCode(`cluster backup ${path} --force`)).toBe(2);
	});

	test("names of cluster and node; whatever else the API has", async () => {
		await root("cluster rename berlin");
		await root("node rename node-1 rack1");
		expect((await json("cluster show")).name).toBe("berlin");
		expect(JSON.parse(await root("api GET /v1/nodes")).items[0].name).toBe("rack1");
		const generation = (await json("cluster show")).generation;
		expect(await rootCode(`api PATCH /v1/cluster --data {"name":"x"} --if-match ${generation - 1}`)).toBe(1);
	});

	test("events as they come", async () => {
		const io = fakeIo();
		const watching = cli(
			["event", "watch", "--kind", "cluster", "--count", "1", "--run-dir", node.runDir, "-o", "json"],
			{ io },
		);
		// The stream is open when a first change arrives; until then, changes are made.
		let tries = 0;
		const poke = async (): Promise<void> => {
			tries += 1;
			await root(`cluster rename name-${tries}`);
			if (io.out === "" && tries < 50) return poke();
		};
		await poke();
		expect((await watching).code).toBe(0);
		expect(JSON.parse(io.out).target.kind).toBe("cluster");
	});

	test("a task that is asked to stop", async () => {
		const path = join(folder, "stuck.raw");
		writeFileSync(path, Buffer.alloc(MiB, 1));
		const create = `api POST /v1/images --data ${JSON.stringify({ name: "stuck", format: "raw", source: { kind: "upload" }, fileSizeBytes: MiB })}`;
		const image = JSON.parse(await root(create));
		const [task] = await json(`task list --target ${image.id}`);
		expect(await json(`task cancel ${task.id}`)).toMatchObject({ cancelRequested: true });
		expect(await rootCode(`task wait ${task.id} --timeout 10s`)).toBe(1);
		expect(await json(`task show ${task.id}`)).toMatchObject({ state: "canceled" });
		await root("image delete stuck --yes");
	});

	test("live figures", async () => {
		await root("node metrics rack1");
		// The first sample of a VM comes a moment after its start.
		const deadline = Date.now() + 20_000;
		while ((await rootCode("vm metrics web")) !== 0) expect(Date.now()).toBeLessThan(deadline);
		expect(await root("vm metrics web")).toContain("CPU");
		expect(await root("node metrics-history rack1 --last 10m")).toContain("LOAD");
		expect(await root("vm metrics-history web")).toContain("DISK READ");
		expect((await json("node metrics-history rack1")).length).toBeGreaterThan(0);
	}, 30_000);

	test("the VM goes, with its disks", async () => {
		expect(await rootCode("vm delete web")).toBe(2);
		await root("vm delete web --yes");
		await root("vm delete demo --yes");
		expect(await root("vm list -q")).toBe("");
		expect(await root("volume list -q")).toBe("");
		for (const name of ["tiny-linux", "install", "web", "golden", "limiquantix-demo"])
			await root(`image delete ${name} --yes`);
		expect(node.pool.volumes.size + node.pool.images.size).toBe(0);
	});
});

describe("several nodes", () => {
	test("come with a token, lead, and go", async () => {
		expect(await root("cluster init --name lab --address 10.0.0.1")).toContain("10.0.0.1:8444");
		const { token, secret } = await json("cluster token create --uses 2");
		expect(await root("cluster token list")).toContain(token.id);
		await node.admit(token.id, "node-2");
		await node.admit(token.id, "node-3");
		await root(`cluster token delete ${token.id} --yes`);
		expect(await root("cluster status")).toContain("This is the only voter");
		expect(await root("cluster transfer-leader")).toContain("leads.");
		expect(await rootCode("cluster renew-certificate")).toBe(0);
		await root("cluster readdress node-2 10.0.0.2:8444");
		expect(await json("node show node-2")).toMatchObject({ peerAddresses: ["10.0.0.2:8444"] });
		await root("vm create mover --node rack1 --no-start --no-nic");
		await root("vm edit mover --detach disk-0");
		await root("vm move mover node-2 --no-wait");
		expect(await root("task list --kind vm.move")).toContain("mover");
		await root("vm delete mover --yes");
		await root("volume delete mover-disk-0 --yes");
		await root("cluster remove node-3 --confirm node-3");
		expect(await root(`cluster join --token ${secret} --preview`)).toContain("Cluster berlin, with node-1.");
	});

	test("and this one leaves", async () => {
		expect(await rootCode("cluster leave")).toBe(2);
		expect(await root("cluster leave --yes --no-wait")).toContain("has left lab");
	});
});

test("every operation of the API was used by a command above", async () => {
	const exceptions = Object.entries(commandOfOperation).flatMap(([id, command]) =>
		typeof command === "string" ? [] : id,
	);
	const missing = Object.keys(permissions).filter((id) => !node.operations.has(id) && !exceptions.includes(id));
	expect(missing).toEqual([]);
});

/** The smallest file that looks like an ISO 9660 image. */
function isoBytes(): Uint8Array {
	const bytes = new Uint8Array(64 * 1024);
	bytes.set(new TextEncoder().encode("\u0001CD001\u0001"), 32_768);
	return bytes;
}

test("the password of the fixture's administrator works from outside", async () => {
	const io = fakeIo({ tty: true, homeDir: folder });
	io.feed(`${adminPassword}\r`);
	const words = ["login", "--server", node.url, "--fingerprint", node.fingerprint, "-u", "admin"];
	expect((await cli(words, { io })).code).toBe(0);
});
