/** Looking around: a network's VMs, the serial log, what a file is. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

test("a network with many VMs leads to the list of exactly these", async () => {
	const { page, server, problems, close } = await stage.open({ vms: 60 });
	const [most, other] = [...server.state.tables.network.values()];
	if (!most || !other) throw new Error("the mock has too few networks");
	const vms = [...server.state.tables.vm.values()];
	for (const [at, vm] of vms.entries()) {
		const networkId = at < 30 ? most.id : other.id;
		server.state.change("vm", vm.id, {
			spec: { ...vm.spec, nics: vm.spec.nics.map((nic) => ({ ...nic, networkId })) },
		});
	}
	const connected = vms.slice(0, 30).filter(({ spec }) => spec.nics.length > 0);
	await page.goto(`${server.url}/networks/${most.id}`);
	await page.getByRole("link", { name: `All ${connected.length} connected VMs` }).click();
	await page.getByRole("heading", { name: "VMs", exact: true }).waitFor();
	expect(new URL(page.url()).searchParams.get("network")).toBe(most.id);
	await page.getByText(`${connected.length} of ${vms.length}`).waitFor();
	const [first] = connected;
	await page
		.getByRole("searchbox")
		.first()
		.fill(first?.name ?? "");
	await page.getByRole("row", { name: first?.name ?? "" }).waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("a disk whose making was called off is not made yet, rather than waiting for ever", async () => {
	const { page, server, problems, close } = await stage.open({ vms: 3 });
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
	const volumeId = vm?.spec.disks[0]?.volumeId ?? "";
	server.state.change("volume", volumeId, { phase: "pending", allocatedBytes: null });
	const badge = (word: string) => page.getByRole("main").locator(".badge", { hasText: word });
	await page.goto(`${server.url}/vms/${vm?.id}/disks`);
	await badge("Not made yet").waitFor();
	expect(await badge("Not made yet").locator(".spin").count()).toBe(0);
	await page.goto(`${server.url}/storage/volumes?state=pending`);
	await badge("Not made yet").waitFor();
	await page.goto(`${server.url}/storage/volumes/${volumeId}`);
	await page.getByText("Made when the VM starts").waitFor();

	// Its VM starts.
	server.state.startTask("vm.start", [server.state.refOf("vm", vm?.id ?? "")], { steps: 50 });
	await badge("Waiting").locator(".spin").waitFor();
	expect(await page.getByText("Made when the VM starts").count()).toBe(0);
	expect(problems).toEqual([]);
	await close();
});

test("the serial log opens at its end, and the copy button covers none of it", async () => {
	const { page, server, close } = await stage.open({ vms: 3 });
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}/log`);
	const log = page.getByRole("region", { name: "Serial log" });
	await log.waitFor();
	const hidden = () =>
		log.evaluate(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight);
	expect(await log.evaluate(({ scrollHeight, clientHeight }) => scrollHeight - clientHeight)).toBeGreaterThan(100);
	expect(await hidden()).toBeLessThan(2);
	const [button, text] = [await page.getByRole("button", { name: "Copy" }).boundingBox(), await log.boundingBox()];
	expect((button?.y ?? 0) + (button?.height ?? 0)).toBeLessThanOrEqual(text?.y ?? 0);
	// Who has scrolled back stays there.
	await log.evaluate((element) => {
		element.scrollTop = 0;
		element.dispatchEvent(new Event("scroll"));
	});
	const answered = page.waitForResponse((response) => response.url().includes("serial-log"));
	await page.getByRole("button", { name: "Reload" }).click();
	await answered;
	expect(await log.evaluate(({ scrollTop }) => scrollTop)).toBe(0);
	await close();
});

test("a file without a known header is not called raw; its name stands once", async () => {
	const { page, server, close } = await stage.open({ vms: 1 });
	await page.goto(`${server.url}/images?add=upload`);
	const dialog = page.getByRole("dialog");
	const file = { name: "shopping-list.txt", mimeType: "text/plain", buffer: Buffer.from("milk\n".repeat(200)) };
	await dialog.getByLabel("File", { exact: true }).setInputFiles(file);
	await dialog.getByText("No known header was found in the file.").waitFor();
	expect(await dialog.getByText("looks like").count()).toBe(0);
	expect(await dialog.getByText("shopping-list.txt").count()).toBe(1);
	const disk = Buffer.alloc(4096);
	disk.set([0x55, 0xaa], 510);
	await dialog.getByLabel("File", { exact: true }).setInputFiles({ ...file, name: "disk.img", buffer: disk });
	await dialog.getByText("The file looks like raw.").waitFor();
	expect(await dialog.getByText("No known header").count()).toBe(0);
	await close();
});
