/** A process of its own that makes a full copy of an image in a pool, for a test that kills it. Arguments: root, image, volume. */
import { present } from "../../../lib/assert.ts";
import { MiB } from "../../../lib/units.ts";
import { openLocal } from "./local-pool.ts";

const [root, image, volume] = process.argv.slice(2);
const driver = await openLocal(present(root, "root"));
process.stdout.write("ready\n");
await driver.createVolume(present(volume, "volume"), {
	...{ format: "qcow2", sizeBytes: 96 * MiB, source: { kind: "image", id: present(image, "image"), fullCopy: true } },
});
process.stdout.write("done\n");
