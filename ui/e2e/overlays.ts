/** What opens over the pages (menus, dialogs, panels, what is said), and what axe-core finds wrong with it. */
import { expect } from "bun:test";
import { findings, ready } from "./axe.ts";
import type { Opened, Stage } from "./setup.ts";

/** Fails with all that is found in any of them. */
export async function expectNothingOverPages(stage: Stage, colorScheme: "light" | "dark"): Promise<void> {
	const opened = await stage.open({ vms: 12, nodes: 3, context: { colorScheme } });
	const found: string[] = [];
	for (const [name, open] of Object.entries(overlays)) {
		await open(opened);
		found.push(...(await findings(opened.page, { colorScheme })).map((text) => `${name}: ${text}`));
	}
	expect(found).toEqual([]);
	await opened.close();
}

const vmOf = ({ server }: Opened, state: string) => {
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === state);
	if (!vm) throw new Error(`no VM is ${state}`);
	return vm;
};

/** Each leaves something open. */
const overlays: Record<string, (opened: Opened) => Promise<void>> = {
	async palette({ page, server }) {
		await page.goto(server.url);
		await ready(page);
		await page.keyboard.press("Control+k");
		await page.getByRole("combobox").fill("web");
	},
	async "palette with actions"({ page, server }) {
		await page.goto(server.url);
		await ready(page);
		await page.keyboard.press("Control+k");
		await page.getByRole("combobox").fill("start web-01");
		await page.getByText("A VM that is running cannot be started.").waitFor();
	},
	async "deleting many"({ page, server }) {
		await page.goto(`${server.url}/vms`);
		await ready(page);
		await page.getByLabel("Select all rows").check();
		await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "no quorum"({ page, server }) {
		server.settings.quorum = false;
		await page.goto(server.url);
		await ready(page);
		await page.getByText("No quorum: read-only").waitFor();
		server.settings.quorum = true;
	},
	async "adding a node"({ page, server }) {
		await page.goto(`${server.url}/cluster`);
		await page.getByRole("button", { name: "Add node" }).click();
		await page.getByRole("button", { name: "Make token" }).click();
		await page.getByText("Waiting for the node").waitFor();
	},
	async "a member that is not reached"({ page, server }) {
		const node = [...server.state.tables.node.values()].at(-1);
		server.state.members.away.add(node?.id ?? "");
		server.state.members.versions.set(node?.id ?? "", { version: "0.0.9", features: [] });
		await page.goto(`${server.url}/cluster`);
		await page.getByText("Not reached", { exact: true }).waitFor();
		await page.getByRole("button", { name: `Actions: ${node?.name}` }).click();
		await page.getByRole("menuitem", { name: "Remove" }).waitFor();
	},
	async "removing a node"({ page }) {
		await page.getByRole("menuitem", { name: "Remove" }).click();
		await page.getByText("unknown from then on").waitFor();
	},
	async "moving a VM"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/vms/${vmOf(opened, "stopped").id}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Move" }).click();
		await page.getByRole("radio").first().waitFor();
	},
	async shortcuts({ page, server }) {
		await page.goto(server.url);
		await ready(page);
		await page.keyboard.press("?");
		await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
	},
	async "user menu"({ page, server }) {
		await page.goto(server.url);
		await ready(page);
		await page.getByRole("button", { name: "Signed in as admin" }).click();
		await page.getByRole("menu").waitFor();
	},
	async "task drawer"({ page, server }) {
		await page.goto(server.url);
		await ready(page);
		await page.getByRole("button", { name: /^Tasks/ }).click();
		await page.locator("#task-drawer").waitFor();
	},
	async "row menu and selection"({ page, server }) {
		await page.goto(`${server.url}/vms`);
		await ready(page);
		await page.getByLabel("Select build-01").check();
		await page.getByRole("button", { name: "Actions: cache-01" }).click();
	},
	async "delete confirmation"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/vms/${vmOf(opened, "running").id}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Delete" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "create form with errors"({ page, server }) {
		await page.goto(`${server.url}/vms/new`);
		await ready(page);
		for (const section of await page.locator("details > summary").all()) await section.click();
		await page.getByRole("radio", { name: "Form", exact: true }).check();
		await page.getByRole("button", { name: "Create VM" }).click();
		await page.getByText("Enter a value.").first().waitFor();
	},
	async "add disk"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/vms/${vmOf(opened, "stopped").id}/disks`);
		await ready(page);
		await page.getByRole("button", { name: "Add disk" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "edit disk"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/vms/${vmOf(opened, "running").id}/disks`);
		await ready(page);
		await page.getByRole("button", { name: "Actions: disk-0" }).click();
		await page.getByRole("menuitem", { name: "Edit" }).click();
		await page.getByRole("dialog").getByLabel("Reads").fill("0");
		await page.getByText("Enter a whole number").waitFor();
	},
	async "taking a snapshot"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/vms/${vmOf(opened, "running").id}/snapshots`);
		await ready(page);
		await page.getByRole("main").getByRole("button", { name: "Take snapshot" }).click();
		await page.getByRole("dialog").getByLabel("Name").fill("installed");
		await page.getByText("Another snapshot of this VM").waitFor();
	},
	async "what a snapshot cannot be used for"({ page }) {
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "Discard changes" }).click();
		await page.getByRole("button", { name: "Actions: configured" }).click();
		await page.getByText("A VM that is running cannot be set back to a snapshot.").waitFor();
	},
	async "a volume of a snapshot"({ page }) {
		await page.getByRole("menuitem", { name: "Make a volume" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "reverting to a snapshot"(opened) {
		const { page, server } = opened;
		const vm = vmOf(opened, "running");
		await page.keyboard.press("Escape");
		server.state.change("vm", vm.id, { status: { ...vm.status, powerState: "stopped" } });
		await page.getByText("Stopped now").waitFor();
		await page.getByRole("button", { name: "Actions: configured" }).click();
		await page.getByRole("menuitem", { name: "Revert" }).click();
		await page.getByRole("dialog").getByText("Lost for good").waitFor();
		server.state.change("vm", vm.id, { status: vm.status });
	},
	async "add image"({ page, server }) {
		await page.goto(`${server.url}/images?add=upload`);
		await page.getByRole("dialog").waitFor();
	},
	async "create network"({ page, server }) {
		await page.goto(`${server.url}/networks`);
		await ready(page);
		await page.getByRole("button", { name: "Create network" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "create pool with errors"({ page, server }) {
		await page.goto(`${server.url}/storage/new`);
		await ready(page);
		await page.getByRole("radio", { name: /^iSCSI with LVM/ }).check();
		await page.getByRole("textbox", { name: "Portals" }).fill("10.0.1.5,");
		await page.getByRole("button", { name: "Look for targets" }).click();
		await page.getByRole("radio", { name: /storage\.disks/ }).check();
		await page.getByRole("button", { name: "Look for LUNs" }).click();
		await page.getByText("Not empty").waitFor();
		await page.getByRole("radio", { name: "Both prove themselves" }).check();
		await page.getByRole("main").getByRole("button", { name: "Create pool" }).click();
		await page.getByText("Enter the password.").first().waitFor();
	},
	async "a pool that was tried"({ page, server }) {
		await page.goto(`${server.url}/storage/new`);
		await ready(page);
		await page.getByRole("radio", { name: /^NFS/ }).check();
		await page.getByRole("textbox", { name: "Server" }).fill("partly.example.net");
		await page.getByRole("button", { name: "Look for exports" }).click();
		await page.getByRole("radio", { name: "/export/vms" }).check();
		await page.getByRole("button", { name: "Test" }).click();
		await page.getByText("Fails", { exact: true }).waitFor();
	},
	async "a LUN that is not empty"({ page, server }) {
		await page.goto(`${server.url}/storage/new`);
		await ready(page);
		await page.getByRole("radio", { name: /^iSCSI with LVM/ }).check();
		// What was typed before was kept.
		await page.getByRole("radio", { name: "None", exact: true }).check();
		await page.getByRole("textbox", { name: "Portals" }).fill("10.0.1.5,");
		await page.getByRole("button", { name: "Look for targets" }).click();
		await page.getByRole("radio", { name: /storage\.disks/ }).check();
		await page.getByRole("button", { name: "Look for LUNs" }).click();
		await page.getByRole("radio", { name: "LUN 1, 500 GiB" }).check();
		await page.getByRole("button", { name: "Test" }).click();
		await page.getByLabel(/^Type gpt/).waitFor();
	},
	async "moving a volume"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/storage/volumes/${vmOf(opened, "paused").spec.disks[0]?.volumeId}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Move to another pool" }).click();
		await page.locator("dialog input[type=radio]:not([aria-disabled])").first().check();
		await page.getByText("Then the old copy is deleted.").waitFor();
	},
	async "a volume that snapshots hold"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/storage/volumes/${vmOf(opened, "running").spec.disks[0]?.volumeId}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Move to another pool" }).getByText("snapshots hold it").waitFor();
	},
	async "copying a volume"(opened) {
		const { page, server } = opened;
		await page.goto(`${server.url}/storage/volumes/${vmOf(opened, "stopped").spec.disks[0]?.volumeId}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Clone" }).click();
		await page.getByRole("combobox", { name: "Pool" }).waitFor();
	},
	async "checking a volume"({ page }) {
		await page.keyboard.press("Escape");
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Check for damage" }).click();
		await page.getByRole("checkbox", { name: "Repair" }).waitFor();
	},
	async "edit pool"({ page, server }) {
		const pool = [...server.state.tables.pool.values()].find(({ type }) => type === "ceph-rbd");
		await page.goto(`${server.url}/storage/pools/${pool?.id}`);
		await ready(page);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Edit" }).click();
		await page.getByRole("dialog").locator("summary").click();
		await page.getByRole("textbox", { name: "Keyring" }).fill("nothing");
		await page.getByText("The keyring: line 1").waitFor();
	},
	async "add user"({ page, server }) {
		await page.goto(`${server.url}/administration/users`);
		await ready(page);
		await page.getByRole("button", { name: "Add user" }).click();
		await page.getByRole("dialog").waitFor();
	},
	async "failure message"({ page, server }) {
		await page.goto(`${server.url}/networks`);
		await ready(page);
		await page.getByRole("button", { name: "Actions: office" }).click();
		await page.getByRole("menuitem", { name: "Delete network" }).click();
		const network = [...server.state.tables.network.values()].find(({ name }) => name === "office");
		if (network) server.state.tables.network.delete(network.id);
		await page.getByRole("button", { name: "Delete network" }).last().click();
		await page.getByText("There is no such resource.").or(page.getByText("There is no such network.")).waitFor();
	},
};
