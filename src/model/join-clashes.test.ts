/** What becomes of what a node brings: the same rules for the preview and for the import. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
	fixtureId,
	fixtureImage,
	fixtureNetwork,
	fixtureNfs,
	fixturePool,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { type Brought, clashesOf, type Holdings, type Kind, type Present, planJoin } from "./join-clashes.ts";

const nothing: Holdings = { pools: [], networks: [], images: [], volumes: [], vms: [] };
const theirs = (changes: Partial<Present> = {}): Present => ({ ...nothing, memberIds: ["theirs"], ...changes });
const mine = (changes: Partial<Brought> = {}): Brought => ({
	...{ ...nothing, nodeId: "mine", nodeName: "node-2" },
	...changes,
});
const fate = (kind: Kind, id: string, brought: Brought, present: Present, suffix: string | null = null) =>
	planJoin(brought, present, suffix).fates[kind].get(id);
const nat = (gateway: string) => {
	const net = gateway.slice(0, gateway.lastIndexOf("."));
	return { kind: "nat" as const, gateway, prefixLength: 24, dhcpStart: `${net}.10`, dhcpEnd: `${net}.20` };
};
const vmOn = (networkId: string, mac = "52:54:00:00:00:01", id = "v") => {
	const nic = { id: "nic-0", networkId, mac, model: "virtio" as const, linkUp: true };
	return fixtureVm({ id, name: id, nodeId: "mine", spec: fixtureVmSpec({ nics: [nic] }) });
};

describe("storage pools", () => {
	const there = theirs({ pools: [fixturePool({ id: "a", name: "local", config: { path: "/pool" } })] });
	const bring = (name: string, path: string, id = "b") =>
		mine({ pools: [fixturePool({ id, name, config: { path } })] });

	test("of the same name and folder are one", () => {
		for (const [name, path] of [
			["local", "/pool"],
			["Local", "/./pool//"],
		] as const) {
			expect(fate("pools", "b", bring(name, path), there)).toEqual({ as: "same", id: "a" });
			expect(clashesOf(bring(name, path), there)).toEqual([]);
		}
	});

	test("of the same name in another folder clash when something is in them; another name in the same folder does not", () => {
		const empty = bring("local", "/other");
		expect(clashesOf(empty, there)).toEqual([]);
		expect(fate("pools", "b", empty, there)).toEqual({ as: "new", name: "local-node-2" });
		const inUse = { ...empty, volumes: [fixtureVolume({ id: "v", poolId: "b", nodeId: "mine" })] };
		expect(clashesOf(inUse, there)).toMatchObject([{ kind: "pool", name: "local", renamable: true }]);
		expect(fate("pools", "b", inUse, there, "node-2")).toEqual({ as: "new", name: "local-node-2" });
		expect(fate("pools", "b", bring("fast", "/pool"), there)).toEqual({ as: "new", name: "fast" });
	});

	test("with one id are one, however they are called, unless they are in different folders", () => {
		expect(fate("pools", "a", bring("was-local", "/pool", "a"), there)).toEqual({ as: "same", id: "a" });
		expect(clashesOf(bring("local", "/other", "a"), there)).toMatchObject([{ kind: "pool", renamable: false }]);
	});
});

describe("storage pools that nodes share", () => {
	const nas = fixturePool({ id: "nas", name: "nas", type: "nfs", config: fixtureNfs });
	const bring = mine({ pools: [nas], volumes: [fixtureVolume({ poolId: "nas", nodeId: null })] });

	test("do not come along, used or not, not even where the cluster has one in the same place", () => {
		const sameName = fixturePool({ ...nas, id: "theirs" });
		const sameServer = fixturePool({ ...nas, id: "theirs", name: "files" });
		for (const pools of [[], [sameName], [sameServer]])
			for (const brought of [bring, mine({ pools: [nas] })])
				expect(clashesOf(brought, theirs({ pools }))).toEqual([
					{ kind: "pool", name: "nas", renamable: false, message: expect.stringContaining("delete it on node-2") },
				]);
	});

	test("are the cluster's for one that was its member, also where they were deleted since", () => {
		expect(clashesOf(bring, theirs({ pools: [nas] }))).toEqual([]);
		expect(clashesOf(mine({ pools: [nas] }), theirs(), true)).toEqual([]);
	});
});

describe("networks", () => {
	const there = theirs({ networks: [fixtureNetwork({ id: "a", name: "nat", config: nat("10.64.0.1") })] });
	const bring = (name: string, config: ReturnType<typeof nat> | { kind: "bridge"; bridge: string }, used = true) =>
		mine({ networks: [fixtureNetwork({ id: "b", name, config })], vms: used ? [vmOn("b")] : [] });

	test("of the same name and configuration are one", () => {
		expect(fate("networks", "b", bring("nat", nat("10.64.0.1")), there)).toEqual({ as: "same", id: "a" });
		const lan = fixtureNetwork({ id: "a", name: "lan", config: { kind: "bridge", bridge: "br0" } });
		const bridged = bring("LAN", { kind: "bridge", bridge: "br0" });
		expect(fate("networks", "b", bridged, theirs({ networks: [lan] }))).toEqual({ as: "same", id: "a" });
		expect(clashesOf(bring("lan", { kind: "bridge", bridge: "br1" }), theirs({ networks: [lan] }))).toMatchObject([
			{ kind: "network", name: "lan", renamable: true },
		]);
	});

	test("that do NAT stay behind when no VM uses them", () => {
		for (const config of [nat("10.64.0.1"), nat("10.99.0.1")]) {
			expect(fate("networks", "b", bring("other", config, false), there)).toEqual({ as: "left" });
			expect(clashesOf(bring("other", config, false), there)).toEqual([]);
		}
		expect(fate("networks", "b", bring("lan", { kind: "bridge", bridge: "br0" }, false), there)).toEqual({
			...{ as: "new", name: "lan" },
		});
	});

	test("with the same addresses clash, and no name helps", () => {
		for (const suffix of [null, "node-2"])
			expect(planJoin(bring("other", nat("10.64.0.1")), there, suffix).clashes).toMatchObject([
				{ kind: "network", name: "other", renamable: false },
			]);
		expect(clashesOf(bring("nat", nat("10.99.0.1")), there)).toMatchObject([{ renamable: true }]);
	});
});

describe("VMs, volumes and images", () => {
	test("clash by name, each among its own kind, volumes in their pool", () => {
		const pool = fixturePool({ id: "pa", config: { path: "/pool" } });
		const there = theirs({
			pools: [pool],
			images: [fixtureImage({ id: "ia", name: "Debian" })],
			volumes: [fixtureVolume({ id: "va", name: "root", poolId: "pa" })],
			vms: [fixtureVm({ id: "ma", name: "web" })],
		});
		const brought = mine({
			pools: [{ ...pool, id: "pb" }, fixturePool({ id: "pc", name: "fast", config: { path: "/fast" } })],
			images: [fixtureImage({ id: "ib", name: "debian" })],
			volumes: [
				fixtureVolume({ id: "vb", name: "ROOT", poolId: "pb" }),
				fixtureVolume({ id: "vc", name: "root", poolId: "pc" }),
			],
			vms: [fixtureVm({ id: "mb", name: "Web" }), fixtureVm({ id: "mc", name: "root" })],
		});
		expect(clashesOf(brought, there).map(({ kind, name, renamable }) => `${kind} ${name} ${renamable}`)).toEqual([
			"image debian true",
			"volume ROOT true",
			"vm Web true",
		]);
		const { clashes, fates } = planJoin(brought, there, "node-2");
		expect(clashes).toEqual([]);
		expect(fates.volumes.get("vb")).toEqual({ as: "new", name: "ROOT-node-2" });
		expect(fates.volumes.get("vc")).toEqual({ as: "new", name: "root" });
	});

	test("get a name that nothing has, there or among what comes", () => {
		const names = (...list: string[]) => list.map((name) => fixtureVm({ id: name, name }));
		const brought = mine({ vms: names("web", "web-node-2-2") });
		const present = theirs({ vms: names("WEB", "Web-Node-2").map((vm) => ({ ...vm, id: `their ${vm.id}` })) });
		expect(fate("vms", "web", brought, present, "node-2")).toEqual({ as: "new", name: "web-node-2-3" });
		const long = "n".repeat(63);
		const longer = mine({ vms: names(long) });
		const taken = theirs({ vms: [fixtureVm({ id: "x", name: long })] });
		expect(fate("vms", long, longer, taken, "s".repeat(63))).toEqual({
			...{ as: "new", name: `${"n".repeat(31)}-${"s".repeat(31)}` },
		});
	});

	test("come back when they were on this node, and stay where somebody moved them", () => {
		const brought = mine({ vms: [vmOn("n", "52:54:00:00:00:01", "x"), vmOn("n", "52:54:00:00:00:02", "y")] });
		const present = theirs({ vms: brought.vms.map((vm) => ({ ...vm, nodeId: vm.id === "x" ? "mine" : "theirs" })) });
		expect(fate("vms", "x", brought, present)).toEqual({ as: "back" });
		expect(fate("vms", "y", brought, present)).toEqual({ as: "elsewhere" });
		// Their own MAC addresses are no clash.
		expect(clashesOf(brought, present)).toEqual([]);
	});

	test("clash by MAC address, and no name helps", () => {
		const brought = mine({ vms: [vmOn("n")] });
		const present = theirs({ vms: [vmOn("n", "52:54:00:00:00:01", "other")] });
		expect(planJoin(brought, present, "node-2").clashes).toMatchObject([{ kind: "vm", name: "v", renamable: false }]);
	});
});

test("a node that is a member, or a copy of one, does not come", () => {
	expect(clashesOf(mine({ nodeId: "theirs" }), theirs())).toMatchObject([
		{ kind: "node", name: "node-2", renamable: false },
	]);
});

test("with a suffix, no two names are the same afterwards, and what has a name that is free keeps it", () => {
	const name = fc.constantFrom("a", "A", "b", "a-s", "a-s-2", "b-s");
	const vms = (who: string) =>
		fc
			.uniqueArray(name, { selector: (text) => text.toLowerCase() })
			.map((names) =>
				names.map((text, at) => fixtureVm({ id: fixtureId(at + (who === "mine" ? 0 : 100)), name: text })),
			);
	fc.assert(
		fc.property(vms("mine"), vms("theirs"), (brought, present) => {
			const { clashes, fates } = planJoin(mine({ vms: brought }), theirs({ vms: present }), "s");
			expect(clashes).toEqual([]);
			const names = brought.map(({ id }) => (fates.vms.get(id) as { name: string }).name);
			const all = [...names, ...present.map((vm) => vm.name)].map((text) => text.toLowerCase());
			expect(new Set(all).size).toBe(all.length);
			const taken = new Set(present.map((vm) => vm.name.toLowerCase()));
			brought.forEach((vm, at) => {
				if (!taken.has(vm.name.toLowerCase())) expect(names[at]).toBe(vm.name);
			});
		}),
	);
});

test("a VM that runs on the node that joins, and that another node has by now, stands in the way", () => {
	const there = theirs({
		vms: [
			{ ...vmOn("n", "52:54:00:00:00:01", "taken"), name: "web", nodeId: "theirs" },
			{ ...vmOn("n", "52:54:00:00:00:02", "back"), nodeId: "mine" },
		],
	});
	const runs = ["taken", "back", "unheard-of"];
	expect(clashesOf(mine({ runs }), there)).toEqual([
		{
			...{ kind: "vm", name: "web", renamable: false },
			message:
				"It runs on node-2, and another node of the cluster has it now. Shut it down on this host first: virsh shutdown taken, or virsh destroy taken.",
		},
	]);
	for (const given of [{}, { runs: [] }]) expect(clashesOf(mine(given), there)).toEqual([]);
});
