/** What a node brings that older members would refuse. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import type { PoolNodeStatus } from "../model/storage.ts";
import { FakeStorageDriver } from "../storage/fake.ts";
import type { Feature } from "../store/command-features.ts";
import {
	clusterIds,
	fixtureId,
	fixtureImage,
	fixturePool,
	fixtureSnapshot,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { asKnown } from "./import-known.ts";

const { capabilities } = new FakeStorageDriver();
const report: PoolNodeStatus = {
	...{ nodeId: clusterIds.node, health: "healthy", reason: null, capabilities, updatedAt: "2026-01-02T03:04:05.000Z" },
	...{ totalBytes: 1e9, usedBytes: 0, availableBytes: 1e9 },
};
const silent = { ...report, capabilities: null };
const pools = [fixturePool({ nodes: [report, silent] })];
const without = (missing: Feature) => (feature: Feature) => feature !== missing;
const refusal = (work: () => unknown): string => {
	try {
		work();
	} catch (error) {
		if (error instanceof AppError) return `${error.code}: ${error.message}`;
		throw error;
	}
	return "taken";
};

test("all of it, once everybody knows all", () => {
	const copy = fixtureImage({ source: { kind: "image", imageId: fixtureId(0x300) } });
	const brought = {
		pools,
		images: [copy],
		volumes: [fixtureVolume({ provisioning: "thick" })],
		snapshots: [fixtureSnapshot()],
	};
	expect(asKnown(brought, () => true)).toBe(brought);
});

test("what a pool can do besides is left out, for its node says it anew; nothing else is", () => {
	const volumes = [fixtureVolume()];
	const { provisioning, ...rest } = capabilities;
	expect(provisioning).toEqual(["thin", "thick"]);
	const nodes = [{ ...report, capabilities: rest }, silent];
	const known = asKnown({ pools, images: [fixtureImage()], volumes }, without("thick-1"));
	expect(known).toEqual({ pools: [{ ...pools[0], nodes }] as typeof pools, images: [fixtureImage()], volumes });
});

test("what cannot be left out waits", () => {
	const volumes = [fixtureVolume({ provisioning: "thin" })];
	expect(refusal(() => asKnown({ pools, images: [], volumes }, without("thick-1")))).toStartWith(
		"unsupported: Its volumes say",
	);
	const snapshots = [fixtureSnapshot()];
	const some = { pools, images: [], volumes: [], snapshots };
	expect(refusal(() => asKnown(some, without("storage-1")))).toStartWith("unsupported: Its VMs have snapshots");
	const images = [fixtureImage({ source: { kind: "image", imageId: fixtureId(0x300) } })];
	const copies = { pools, images, volumes: [] };
	expect(refusal(() => asKnown(copies, without("image-copy-1")))).toStartWith("unsupported: It has copies of images");
});
