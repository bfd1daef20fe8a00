import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAppError } from "../../../lib/errors.ts";
import { dependsOf, modulesInLoadOrder } from "./kernel-modules.ts";

const module = (depends: string): Buffer => Buffer.from(`ELF\0license=GPL\0depends=${depends}\0name=x\0`);
let directory = "";

beforeAll(async () => {
	directory = await mkdtemp(join(tmpdir(), "lqx-modules-"));
	await mkdir(join(directory, "drivers/virtio"), { recursive: true });
	await writeFile(join(directory, "drivers/virtio/ring.ko"), module(""));
	await writeFile(join(directory, "drivers/virtio/virtio.ko"), module("ring"));
	await writeFile(join(directory, "drivers/virtio-rng.ko"), module("virtio,ring"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("dependencies come first and once; dashes and underscores are the same", async () => {
	const modules = await modulesInLoadOrder(directory, ["virtio_rng", "virtio"]);
	expect(modules.map(({ name }) => name)).toEqual(["ring", "virtio", "virtio_rng"]);
});

test("a module that the kernel does not have is named in the error", async () => {
	const error = await modulesInLoadOrder(directory, ["e1000"]).catch((e: unknown) => e);
	expect(isAppError(error, "not-found")).toBe(true);
	expect(String(error)).toContain("e1000");
});

test("the list of dependencies is read from .modinfo", () => {
	expect(dependsOf(module("a,b-c"))).toEqual(["a", "b_c"]);
	expect(dependsOf(module(""))).toEqual([]);
	expect(dependsOf(Buffer.from("no section"))).toEqual([]);
});
