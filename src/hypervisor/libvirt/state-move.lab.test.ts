/** A running VM of ours is saved to a file and comes back, on real libvirt and QEMU. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { guestReadyLine } from "../../testing/lab/guest-image.ts";
import { testLimitMs, useLibvirtLab } from "../../testing/lab/libvirt-session.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { clipboardChannelName } from "./domain/machine.ts";

const session = useLibvirtLab("state-move");

const channelPort = async (): Promise<string | null> => {
	const { root } = await session.read(session.domain.id);
	const channels = root.child("devices")?.all("channel") ?? [];
	const clipboard = channels.find((channel) => channel.attributeOf("name", "target") === clipboardChannelName);
	return clipboard?.attributeOf("port", "address") ?? null;
};
const powerState = async () => (await session.lab.driver.getDomain(session.domain.id))?.powerState;

async function saveAndRestore(): Promise<void> {
	const file = join(session.lab.folder, `state-${session.number}`);
	await session.virsh("save", session.domain.id, file);
	expect(await powerState()).toBe("stopped");
	await session.virsh("restore", file);
}

test(
	"a running VM with its clipboard channel cannot be saved; made ready, it can, and has the channel again afterwards",
	async () => {
		const { driver } = session.lab;
		const { id } = await session.start(await session.lab.withGuest(session.domain));
		await session.lab.guestSays(id, guestReadyLine);
		const port = await channelPort();
		expect(port).not.toBeNull();
		const refused = await session.virsh("save", id, join(session.lab.folder, "refused")).catch(String);
		expect(JSON.stringify(refused)).toContain("vdagent");
		await driver.prepareStateMove(id);
		await driver.prepareStateMove(id);
		expect(await channelPort()).toBeNull();
		await saveAndRestore();
		expect(await powerState()).toBe("running");
		await driver.finishStateMove(id);
		await driver.finishStateMove(id);
		expect(await channelPort()).toBe(port);
		// It is the guest that was saved, not one that was started anew, and it goes on.
		const serial = await driver.openSerial(id);
		await serial.write(new TextEncoder().encode("echo went-$((40 + 2))-on; ls /dev/virtio-ports\n"));
		const said = await session.lab.guestSays(id, "went-42-on");
		expect(said.split("boot-count").length).toBe(2);
		await session.lab.guestSays(id, clipboardChannelName);
		await serial.close();
	},
	testLimitMs,
);

test(
	"so can one that is paused, before its guest has any driver",
	async () => {
		const { driver } = session.lab;
		await driver.define(await session.lab.withGuest(session.domain));
		await driver.start(session.domain.id, { paused: true });
		await driver.prepareStateMove(session.domain.id);
		await saveAndRestore();
		expect((await session.virsh("domstate", session.domain.id)).stdout.trim()).toBe("paused");
		await driver.finishStateMove(session.domain.id);
		expect(await channelPort()).not.toBeNull();
		await driver.resume(session.domain.id);
		const said = await session.lab.guestSays(session.domain.id, guestReadyLine);
		expect(said).toContain(clipboardChannelName);
		await waitUntil("the guest to run", 5000, async () => (await powerState()) === "running");
	},
	testLimitMs,
);
