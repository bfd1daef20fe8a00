import { describe, expect, test } from "bun:test";
import { GiB } from "../../../src/lib/units.ts";
import { seed } from "../../dev/mock/seed.ts";
import { checkCreate, createBody, diskBytesFor, initialValues, noImage, planOf, type Refs } from "./values.ts";

const state = seed({ vms: 4, accelerator: "kvm" });
state.stop();
const { tables } = state;
const refs: Refs = {
	images: [...tables.image.values()],
	pools: [...tables.pool.values()],
	networks: [...tables.network.values()],
	nodes: [...tables.node.values()],
	volumes: [...tables.volume.values()],
	vms: [...tables.vm.values()],
};
const [debian] = refs.images;
const iso = refs.images.find(({ format }) => format === "iso");
if (!debian || !iso) throw new Error("the seed has no images");
const networkId = refs.networks[0]?.id ?? "";
const base = { ...initialValues(networkId), name: "web-1", imageId: debian.id };
const hash = async () => "$6$a$b";

describe("creating a VM", () => {
	test("three fields are enough", async () => {
		expect(checkCreate(base, refs)).toEqual({});
		expect(await createBody(base, refs, hash)).toEqual({
			name: "web-1",
			vcpus: 2,
			memoryBytes: 4 * GiB,
			disks: [{ imageId: debian.id, sizeBytes: 20 * GiB }],
			cdroms: [{ imageId: null }],
			nics: [{ networkId, model: "virtio" }],
			firmware: "uefi",
			start: true,
		});
	});

	test("nothing entered: what is missing is said", () => {
		expect(Object.keys(checkCreate(initialValues(null), refs)).sort()).toEqual(["/disks/0/imageId", "/name"]);
	});

	test("an ISO goes into the drive, beside an empty disk", async () => {
		const body = await createBody({ ...base, imageId: iso.id }, refs, hash);
		expect(body.disks).toEqual([{ sizeBytes: 20 * GiB }]);
		expect(body.cdroms).toEqual([{ imageId: iso.id }]);
		const full = await createBody({ ...base, imageId: iso.id, drives: [debian.id] }, refs, hash);
		expect(full.cdroms).toEqual([{ imageId: iso.id }, { imageId: debian.id }]);
	});

	test("a preset's disk grows to what the image needs; a custom one is refused", () => {
		const large: Refs = { ...refs, images: [{ ...debian, virtualSizeBytes: 64 * GiB }] };
		expect(diskBytesFor(base, large)).toBe(64 * GiB);
		const custom = { ...base, size: "custom" as const, diskBytes: 20 * GiB };
		expect(checkCreate(custom, large)["/disks/0/sizeBytes"]).toContain("64 GiB");
	});

	test("a disk of an image is made in another pool when that is chosen, as a full copy", async () => {
		const pool = (name: string) => refs.pools.find((one) => one.name === name)?.id ?? "";
		const values = { ...base, poolId: pool("rbd") };
		expect(checkCreate(values, refs)).toEqual({});
		expect((await createBody(values, refs, hash)).disks).toEqual([
			{ imageId: debian.id, sizeBytes: 20 * GiB, poolId: pool("rbd"), format: "raw", fullCopy: true },
		]);
		expect(planOf(values, refs).steps[0]).toBe("A full copy of debian-13-generic becomes a 20 GiB disk in pool rbd.");
		// The image's own, said or not, is no other pool.
		const own = await createBody({ ...base, poolId: pool("local") }, refs, hash);
		expect(own.disks).toEqual([{ imageId: debian.id, sizeBytes: 20 * GiB, poolId: pool("local") }]);
		const apart: Refs = {
			...refs,
			pools: refs.pools.map((one) => (one.name === "rbd" ? { ...one, nodeIds: ["elsewhere"] } : one)),
		};
		expect(checkCreate(values, apart)).toEqual({ "/disks/0/poolId": "No node has both pools." });
	});

	test("problems are at the pointers of the body", () => {
		const errors = checkCreate(
			{
				...base,
				vcpus: 0,
				memoryBytes: 500 * GiB,
				extraDisks: [
					{ kind: "existing", sizeBytes: null, poolId: "", volumeId: "", provisioning: "thin", bus: "virtio" },
				],
				nics: [{ networkId, model: "virtio", mac: "zz" }],
			},
			refs,
		);
		expect(Object.keys(errors).sort()).toEqual(["/disks/1/volumeId", "/memoryBytes", "/nics/0/mac", "/vcpus"]);
	});

	test("what will happen is said before it does", () => {
		const { steps, warnings } = planOf({ ...base, start: false }, refs);
		expect(steps).toEqual([
			"A copy-on-write copy of debian-13-generic becomes a 20 GiB disk in pool local.",
			"2 vCPU, 4 GiB of memory, UEFI.",
			"It is connected to default.",
			"It stays stopped on node-1.",
		]);
		expect(warnings).toEqual(["Cloud images usually need cloud-init to let somebody sign in."]);
		const empty = planOf({ ...base, imageId: noImage, nics: [] }, refs);
		expect(empty.steps[0]).toBe("An empty 20 GiB disk is made in the default pool.");
		expect(empty.steps).toContain("It is not connected to any network.");
	});

	test("no disk is promised before an image, or none, is chosen", () => {
		for (const values of [initialValues(networkId), { ...base, imageId: "" }])
			expect(planOf(values, refs).steps.filter((step) => step.includes("disk"))).toEqual([]);
		expect(planOf({ ...base, imageId: iso.id }, refs).steps[0]).toBe(
			"An empty 20 GiB disk is made in the default pool.",
		);
	});

	test("more than the maximum is said where it is typed", () => {
		const over = { ...base, size: "custom" as const, vcpus: 8, maxVcpus: 4, memoryBytes: 8 * GiB, maxMemoryBytes: GiB };
		const errors = checkCreate({ ...over, diskBytes: 20 * GiB }, refs);
		expect(Object.keys(errors).sort()).toEqual(["/maxMemoryBytes", "/maxVcpus", "/memoryBytes", "/vcpus"]);
		expect(errors["/vcpus"]).toBe("More than the maximum (4). Raise that first.");
		const preset = checkCreate({ ...base, size: "xlarge", vcpus: 8, maxVcpus: 4 }, refs);
		expect(Object.keys(preset)).toEqual(["/maxVcpus"]);
	});

	test("more memory than the node has left is a warning", () => {
		expect(planOf({ ...base, memoryBytes: 127 * GiB }, refs).warnings[0]).toContain("128 GiB");
	});
});
