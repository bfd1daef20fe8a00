/** Conformance, files that become volumes where they are, and are given back. See conformance.ts. */

import { expect } from "bun:test";
import { MiB } from "../lib/units.ts";
import { sourceName } from "../model/disk-source.ts";
import { diskContent, expectSame, fails, newId, pattern, type Suite } from "./conformance.ts";
import { qcow2Sample } from "./inspect/qcow2-sample.ts";

export function adoptionConformance(suite: Suite): void {
	const { driver, check, under, format } = suite;
	const adopts = under.adoptsFiles ?? true;
	const make = () => driver().createVolume(newId(), { format, sizeBytes: 4 * MiB, source: { kind: "empty" } });

	check("takes over no file", adopts === true ? "it does" : true, async () => {
		const path = await suite.pool().hostFile("old.img", pattern(MiB));
		const file = { path, format: "raw" } as const;
		expect(await fails("unsupported", driver().adoptVolume(newId(), file))).toMatch(/\.$/);
		expect(await driver().adoptableFiles([file])).toMatchObject([
			{ refusal: expect.stringMatching(/\.$/), heldBy: null },
		]);
		await driver().releaseVolume(newId());
		const { id } = await make();
		await fails("wrong-state", driver().releaseVolume(id));
		const damaged = (await driver().damagedVolumes([id, newId()])).map(({ error }) => error.code);
		expect(damaged).toHaveLength(1);
		expect(["storage", "not-found"]).toContain(damaged[0] ?? "none");
	});

	check("takes over a file where it is; deleting the volume removes it", adopts, async () => {
		const { hostFile, hostFileExists, reopen } = suite.pool();
		const path = await hostFile("old.img", pattern(MiB));
		const id = newId();
		const adopted = await driver().adoptVolume(id, { path, format: "raw" });
		expect(adopted).toMatchObject({ id, format: "raw", sizeBytes: MiB, backing: [] });
		expect(await driver().adoptVolume(id, { path, format: "raw" })).toEqual(adopted);
		await fails("already-exists", driver().adoptVolume(newId(), { path, format: "raw" }));
		const reopened = await reopen();
		expect(sourceName((await reopened.attachInfo(id)).source)).toBe(path);
		expectSame(await diskContent(reopened, id), pattern(MiB));
		await reopened.deleteVolume(id);
		expect(await hostFileExists(path)).toBe(false);
		await reopened.deleteVolume(id);
	});

	check("takes over no file that refers to others", adopts, async () => {
		const { hostFile } = suite.pool();
		const good = await hostFile("good.qcow2", qcow2Sample({ virtualSizeBytes: 8 * MiB }));
		expect((await driver().adoptVolume(newId(), { path: good, format: "qcow2" })).sizeBytes).toBe(8 * MiB);
		const evil = qcow2Sample({ virtualSizeBytes: MiB, backingFile: "/etc/passwd" });
		const bad = await hostFile("bad.qcow2", evil);
		await fails("invalid", driver().adoptVolume(newId(), { path: bad, format: "qcow2" }));
		await fails("invalid", driver().adoptVolume(newId(), { path: `${good}.missing`, format: "qcow2" }));
		expect(await driver().listVolumes()).toHaveLength(1);
		const files = [good, bad, `${good}.missing`].map((path) => ({ path, format: "qcow2" as const }));
		const [held, ...others] = await driver().adoptableFiles(files);
		expect(held).toMatchObject({ heldBy: (await driver().listVolumes())[0]?.id });
		for (const refused of others) expect(refused).toMatchObject({ refusal: expect.any(String), heldBy: null });
	});

	check("says beforehand which files it would take, and gives one back as it was", adopts, async () => {
		const { hostFile, hostFileExists, reopen } = suite.pool();
		const path = await hostFile("old.img", pattern(2 * MiB));
		const file = { path, format: "raw" } as const;
		expect(await driver().adoptableFiles([])).toEqual([]);
		expect(await driver().adoptableFiles([file])).toMatchObject([{ sizeBytes: 2 * MiB }]);
		expect(await driver().listVolumes()).toEqual([]);
		const id = newId();
		await driver().releaseVolume(id);
		await driver().adoptVolume(id, file);
		await driver().releaseVolume(id);
		await driver().releaseVolume(id);
		const reopened = await reopen();
		expect(await reopened.getVolume(id)).toBeNull();
		expect(await hostFileExists(path)).toBe(true);
		expect(await reopened.adoptableFiles([file])).toMatchObject([{ sizeBytes: 2 * MiB }]);
		const made = await reopened.createVolume(newId(), { format: "raw", sizeBytes: MiB, source: { kind: "empty" } });
		await fails("wrong-state", reopened.releaseVolume(made.id));
		expect((await reopened.getVolume(made.id))?.sizeBytes).toBe(MiB);
	});

	check("tells volumes that are whole from those that are not", adopts, async () => {
		const { hostFile, removeHostFile } = suite.pool();
		const path = await hostFile("old.img", pattern(MiB));
		const [whole, adopted] = [(await make()).id, newId()];
		await driver().adoptVolume(adopted, { path, format: "raw" });
		expect(await driver().damagedVolumes([whole, adopted])).toEqual([]);
		await removeHostFile(path);
		const missing = newId();
		const damaged = await driver().damagedVolumes([whole, adopted, missing]);
		expect(damaged.map(({ id }) => id)).toEqual([adopted, missing]);
		expect(damaged[0]?.error).toMatchObject({ code: "storage", message: expect.stringContaining("missing") });
		await hostFile("old.img", pattern(MiB));
		expect(await driver().damagedVolumes([whole, adopted])).toEqual([]);
	});
}
