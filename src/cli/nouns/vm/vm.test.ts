/** What the VM verbs send and show. Consoles: consoles.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB, MiB } from "../../../lib/units.ts";
import { type FakeApi, fakeApi, page, problem } from "../../../testing/cli/fake-api.ts";
import { fakeIo } from "../../../testing/cli/fake-io.ts";
import { expectGolden } from "../../../testing/cli/golden.ts";
import { cli } from "../../../testing/cli/run-cli.ts";
import {
	fixtureId,
	fixtureImage,
	fixtureNetwork,
	fixtureNode,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../../../testing/fixtures.ts";

const image = fixtureImage({ id: fixtureId(1), name: "debian-13" });
const iso = fixtureImage({ id: fixtureId(2), name: "install" });
const pool = fixturePool({ id: fixtureId(3), name: "fast" });
const network = fixtureNetwork({ id: fixtureId(4), name: "office" });
const volume = fixtureVolume({ id: fixtureId(5), name: "data" });
const nic = { id: "nic-0", networkId: network.id, mac: "52:4c:00:00:00:01", model: "virtio" as const, linkUp: true };
const disk = {
	id: "disk-0",
	volumeId: fixtureId(6),
	bus: "virtio" as const,
	cache: "none" as const,
	discard: true,
	readOnly: false,
};
const vm = fixtureVm({
	name: "web",
	generation: 7,
	spec: fixtureVmSpec({
		disks: [disk],
		nics: [nic],
		cdroms: [{ id: "cdrom-0", imageId: null }],
		bootOrder: ["disk-0"],
	}),
});

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi(
		{ runDir: folder },
		{
			imageList: () => page(image, iso),
			poolList: () => page(pool),
			networkList: () => page(network),
			volumeList: () => page(volume),
			volumeGet: () => volume,
			poolGet: () => fixturePool(),
			nodeList: () => page(fixtureNode()),
			vmList: () => page(vm),
			vmGet: () => vm,
			vmCreate: () => Response.json(vm, { status: 201 }),
			vmUpdate: () => vm,
		},
	);
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string | readonly string[], options: Parameters<typeof cli>[1] = {}) =>
	cli([...(typeof words === "string" ? words.split(" ") : words), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation);

describe("vm move", () => {
	const [node2, taskId] = [fixtureNode({ id: fixtureId(0x22), name: "node2" }), fixtureId(0x400)];
	const task = fixtureTask("vm.move", { kind: "vm", id: vm.id, name: "web" }, { id: taskId });
	const done = { ...task, state: "succeeded", message: "Moved from node-1 to node2." } as const;

	test("names the node that it goes to, and waits for the end", async () => {
		api.handlers.nodeList = () => page(fixtureNode(), node2);
		api.handlers.vmMove = () => Response.json(task, { status: 202 });
		api.handlers.taskGet = () => done;
		expect((await here("vm move web node2")).code).toBe(0);
		expect(sent("vmMove")).toMatchObject({ id: vm.id, json: { nodeId: node2.id } });
	});

	test("says that the other node is off when it is told to", async () => {
		api.handlers.nodeList = () => page(fixtureNode(), node2);
		api.handlers.vmMove = () => Response.json(task, { status: 202 });
		api.handlers.taskGet = () => done;
		expect((await here("vm move web node2 --confirm-node-off node-1 --no-wait")).code).toBe(0);
		expect(sent("vmMove")?.json).toEqual({ nodeId: node2.id, confirmNodeOff: "node-1" });
	});

	test("to a node that is not there is no request", async () => {
		expect(await here("vm move web nowhere")).toMatchObject({ code: 1 });
		expect(sent("vmMove")).toBeUndefined();
	});
});

test("a VM that runs twice says so in the list and on its page, with what to do", async () => {
	const node2 = fixtureNode({ id: fixtureId(0x22), name: "node2" });
	const twice = { ...vm, alsoRunsOn: [node2.id] };
	api.handlers.nodeList = () => page(fixtureNode(), node2);
	api.handlers.vmList = () => page(twice);
	api.handlers.vmGet = () => twice;
	expect((await here("vm list")).out).toContain("node-1 (RUNS ALSO ON node2)");
	expect((await here("vm show web")).out).toContain(
		`node2, which has it no more: shut it down on that host (virsh shutdown ${vm.id})`,
	);
});

describe("vm create", () => {
	test("with a name alone sends a name alone", async () => {
		expect((await here("vm create web")).code).toBe(0);
		expect(sent("vmCreate")?.json).toEqual({ name: "web" });
	});

	test("with everything", async () => {
		const keys = join(folder, "keys");
		writeFileSync(keys, "# mine\nssh-ed25519 AAAA anna\n\nssh-ed25519 BBBB berta\n");
		const words =
			"vm create web --image debian-13 --disk 20GiB --disk size=200GiB,pool=fast,bus=scsi,format=raw,provisioning=thick --disk volume=data --cpus 4 --max-cpus 8 --memory 2GiB --max-memory 8GiB --cpu-model host --firmware uefi --tpm --network office,model=e1000e,mac=52-4C-00-00-00-02 --cdrom install --tag a --tag b --description d --autostart --autostart-order 5 --autostart-delay 30s --shutdown-timeout 2m --cloud-init-user anna --no-sudo --hostname web1 --package nginx --address 10.0.0.5/24 --gateway 10.0.0.1 --nameserver 10.0.0.1 --no-start";
		expect((await here([...words.split(" "), "--ssh-key", `@${keys}`])).code).toBe(0);
		expect(sent("vmCreate")?.json).toEqual({
			name: "web",
			description: "d",
			tags: ["a", "b"],
			vcpus: 4,
			maxVcpus: 8,
			cpuModel: "host",
			memoryBytes: 2 * GiB,
			maxMemoryBytes: 8 * GiB,
			firmware: "uefi",
			tpm: true,
			shutdownTimeoutMs: 120_000,
			disks: [
				{ imageId: image.id, sizeBytes: 20 * GiB },
				{ sizeBytes: 200 * GiB, poolId: pool.id, bus: "scsi", format: "raw", provisioning: "thick" },
				{ volumeId: volume.id },
			],
			cdroms: [{ imageId: iso.id }],
			nics: [{ networkId: network.id, model: "e1000e", mac: "52:4c:00:00:00:02" }],
			autostart: { enabled: true, order: 5, delayMs: 30_000 },
			cloudInit: {
				kind: "form",
				hostname: "web1",
				users: [
					{
						name: "anna",
						sshKeys: ["ssh-ed25519 AAAA anna", "ssh-ed25519 BBBB berta"],
						passwordHash: null,
						sudo: false,
					},
				],
				packages: ["nginx"],
				network: { dhcp4: false, addresses: ["10.0.0.5/24"], gateway4: "10.0.0.1", nameservers: ["10.0.0.1"] },
			},
			start: false,
		});
	});

	test("Ctrl-C ends it while it waits for standard input", async () => {
		const io = fakeIo();
		const waiting = here("vm create web --cloud-init-file -", { io });
		await Promise.resolve();
		io.interrupt();
		expect((await waiting).code).toBe(130);
		expect(api.called).not.toContain("vmCreate");
	});

	test("with own user data, and without a NIC", async () => {
		const io = fakeIo();
		io.feed("#cloud-config\n");
		io.endInput();
		expect((await here("vm create web --cloud-init-file - --no-nic", { io })).code).toBe(0);
		expect(sent("vmCreate")?.json).toEqual({
			name: "web",
			nics: [],
			cloudInit: { kind: "raw", userData: "#cloud-config\n", metaData: null, networkConfig: null },
		});
	});

	test("refuses what contradicts itself, before anything is sent", async () => {
		for (const words of [
			"--disk 20GiB,size=30GiB",
			"--disk nonsense=1",
			"--disk 1KiB",
			"--disk volume=data,size=1GiB",
			"--disk bus=ide",
			"--image debian-13 --disk volume=data",
			"--full-copy",
			"--no-nic --network office",
			"--network office,mac=01:00:00:00:00:00",
			"--gateway 10.0.0.1",
			"--cloud-init-file /dev/null --hostname x",
			"--ssh-key k",
		]) {
			const { code } = await here(`vm create web ${words}`);
			expect({ words, code }).toEqual({ words, code: 2 });
		}
		expect(api.called).not.toContain("vmCreate");
	});
});

describe("vm edit", () => {
	test("sends what is named and nothing else", async () => {
		await here("vm edit web --memory 4GiB --name new --no-tags --no-cloud-init");
		expect(sent("vmUpdate")?.json).toEqual({ memoryBytes: 4 * GiB, name: "new", tags: [], cloudInit: null });
	});

	test("adds and removes devices in the lists that there are, for the generation that it saw", async () => {
		await here(
			"vm set web --attach data,bus=sata,read-only --add-nic office,mac=52:4c:00:00:00:09 --add-cdrom --boot-order disk-1,disk-0",
		);
		expect(sent("vmUpdate")?.headers.get("if-match")).toBe('"7"');
		expect(sent("vmUpdate")?.json).toEqual({
			bootOrder: ["disk-1", "disk-0"],
			disks: [disk, { ...disk, id: "disk-1", volumeId: volume.id, bus: "sata", readOnly: true }],
			nics: [nic, { ...nic, id: "nic-1", mac: "52:4c:00:00:00:09" }],
			cdroms: [
				{ id: "cdrom-0", imageId: null },
				{ id: "cdrom-1", imageId: null },
			],
		});
		await here("vm edit web --detach disk-0 --remove-nic 52:4C:00:00:00:01 --remove-cdrom cdrom-0");
		expect(sent("vmUpdate")?.json).toEqual({ disks: [], nics: [], cdroms: [] });
		await here("vm edit web --add-nic office");
		const mac = expect.stringMatching(/^52:4c(:[0-9a-f]{2}){4}$/);
		expect(sent("vmUpdate")?.json).toEqual({ nics: [nic, { ...nic, id: "nic-1", mac }] });
	});

	test("keeps of the autostart what is not named", async () => {
		const autostart = { enabled: true, order: 9, delayMs: 1000 };
		api.handlers.vmGet = () => ({ ...vm, spec: { ...vm.spec, autostart } });
		await here("vm edit web --autostart-delay 5s");
		expect(sent("vmUpdate")?.json).toEqual({ autostart: { enabled: true, order: 9, delayMs: 5000 } });
	});

	test("begins anew when somebody else was faster, and not for ever", async () => {
		let generation = 7;
		api.handlers.vmGet = () => ({ ...vm, generation });
		api.handlers.vmUpdate = () => {
			generation += 1;
			return generation < 9 ? problem(412, "stale-etag", "It has changed.") : vm;
		};
		expect((await here("vm edit web --add-cdrom")).code).toBe(0);
		expect(sent("vmUpdate")?.headers.get("if-match")).toBe('"8"');
		api.handlers.vmUpdate = () => problem(412, "stale-etag", "It has changed.");
		api.requests.length = 0;
		expect((await here("vm edit web --add-cdrom")).code).toBe(1);
		expect(api.called.filter((operation) => operation === "vmUpdate")).toHaveLength(3);
	});

	test("refuses to remove what is not there, and to change nothing", async () => {
		expect(await here("vm edit web --detach disk-7")).toMatchObject({
			code: 1,
			err: "Error: web has no disk disk-7.\n",
		});
		expect((await here("vm edit web")).code).toBe(2);
		expect(api.called).not.toContain("vmUpdate");
	});
});

test("vm show", async () => {
	api.handlers.vmGet = () => ({
		...vm,
		description: "line one\nline two",
		status: fixtureVmStatus({
			powerState: "running",
			accelerator: "kvm",
			addresses: [{ nicId: "nic-0", mac: nic.mac, address: "10.20.0.\u001b[7m11" }],
		}),
	});
	api.handlers.volumeList = () => page(fixtureVolume({ id: disk.volumeId, name: "web-disk-0" }));
	expectGolden(join(import.meta.dir, "golden/vm-show.txt"), (await here("vm show web")).out);
});

test("vm list", async () => {
	api.handlers.vmList = () => page(vm, fixtureVm({ id: fixtureId(9), name: "日本", deleting: true, tags: ["a", "b"] }));
	expectGolden(join(import.meta.dir, "golden/vm-list.txt"), (await here("vm list")).out);
	await here([
		"vm",
		"list",
		"--state",
		"running",
		"--state",
		"paused",
		"--tag",
		"a",
		"--sort",
		"-memoryBytes",
		"--limit",
		"5",
	]);
	const query = api.requests.findLast(({ operation }) => operation === "vmList")?.query;
	expect(query?.toString()).toBe("powerState=running&powerState=paused&tag=a&sort=-memoryBytes&limit=5");
});

test("vm cdrom needs a drive that is clear", async () => {
	const task = fixtureTask("vm.update", { kind: "vm", id: vm.id, name: "web" }, { state: "succeeded" });
	api.handlers.vmMediaChange = () => task;
	api.handlers.taskGet = () => task;
	expect((await here("vm cdrom web install")).code).toBe(0);
	expect(sent("vmMediaChange")?.json).toEqual({ cdromId: "cdrom-0", imageId: iso.id });
	expect((await here("vm cdrom web --eject")).code).toBe(0);
	expect(sent("vmMediaChange")?.json).toEqual({ cdromId: "cdrom-0", imageId: null });
	expect((await here("vm cdrom web")).code).toBe(2);
	expect((await here("vm cdrom web install --eject")).code).toBe(2);
	const two = [
		{ id: "cdrom-0", imageId: null },
		{ id: "cdrom-1", imageId: null },
	];
	api.handlers.vmGet = () => ({ ...vm, spec: { ...vm.spec, cdroms: two } });
	expect((await here("vm cdrom web install")).err).toContain("cdrom-0, cdrom-1");
	api.handlers.vmGet = () => ({ ...vm, spec: { ...vm.spec, cdroms: [] } });
	expect((await here("vm cdrom web install")).code).toBe(1);
});

test("deleting asks on a terminal", async () => {
	const task = fixtureTask("vm.delete", { kind: "vm", id: vm.id, name: "web" }, { state: "succeeded" });
	api.handlers.vmDelete = () => task;
	api.handlers.taskGet = () => task;
	for (const [answer, code] of [
		["n\n", 1],
		["\n", 1],
		["y\n", 0],
	] as const) {
		const io = fakeIo({ tty: true });
		io.feed(answer);
		expect({ answer, code: (await here("vm delete web", { io })).code }).toEqual({ answer, code });
		expect(io.err).toContain("Delete the VM web and its volumes? [y/N]");
	}
	expect(api.called.filter((operation) => operation === "vmDelete")).toHaveLength(1);
	const io = fakeIo({ tty: true });
	const asked = here("vm delete web", { io });
	await io.until(({ err }) => err.includes("[y/N]"));
	io.interrupt();
	expect((await asked).code).toBe(130);
	expect(api.called.filter((operation) => operation === "vmDelete")).toHaveLength(1);
	expect((await here("vm delete web --keep-volumes --yes")).code).toBe(0);
	expect(sent("vmDelete")?.query.get("deleteVolumes")).toBe("false");
});

test("deleting a VM of a node that was removed says that it stays there", async () => {
	const task = fixtureTask("vm.delete", { kind: "vm", id: vm.id, name: "web" }, { state: "succeeded" });
	api.handlers.vmDelete = () => task;
	api.handlers.taskGet = () => task;
	const { status } = fixtureNode();
	for (const phase of ["ready", "left"] as const) {
		api.handlers.nodeList = () => page(fixtureNode({ status: { ...status, phase } }));
		const io = fakeIo({ tty: true });
		io.feed("y\n");
		expect((await here("vm delete web", { io })).code).toBe(0);
		const stays = io.err.includes(
			"Its node, node-1, was removed: what is on that host of the VM, disks included, stays there",
		);
		expect([phase, stays]).toEqual([phase, phase === "left"]);
	}
});

describe("looking into a VM", () => {
	test("the serial log is harmless on a terminal, and itself in a file", async () => {
		const log = Buffer.from("\u001b]0;x\u0007boot\n\xff", "latin1");
		api.handlers.vmSerialLogGet = () => new Response(log, { headers: { "content-type": "text/plain; charset=utf-8" } });
		const io = fakeIo({ tty: true });
		await here("vm serial-log web", { io });
		expect(io.out).toBe("\\e]0;x\\u0007boot\n\ufffd\n");
		expect(Buffer.from((await here("vm serial-log web --max 1MiB")).io.outBytes).equals(log)).toBe(true);
		expect(sent("vmSerialLogGet")?.query.get("maxBytes")).toBe(String(MiB));
	});

	test("a picture goes into a new file", async () => {
		const picture = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0, 255]);
		api.handlers.vmScreenshotGet = () => new Response(picture, { headers: { "content-type": "image/png" } });
		const path = join(folder, "screen.png");
		expect((await here(["vm", "screenshot", "web", path])).code).toBe(0);
		expect(new Uint8Array(readFileSync(path))).toEqual(picture);
		expect((await here(["vm", "screenshot", "web", path])).code).toBe(1);
		expect((await here(["vm", "screenshot", "web", path, "--force"])).code).toBe(0);
		expect(new Uint8Array((await here("vm screenshot web -")).io.outBytes)).toEqual(picture);
	});
});
