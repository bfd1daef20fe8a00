/**
 * What a running domain must let go of before its state (memory, devices) can be saved to a file or migrated, and gets
 * back afterwards. That is the clipboard's channel: QEMU before 10.1 cannot carry it over and refuses the whole move
 * (docs/decisions/0007-clipboard-and-migration.md). A virtio-serial port goes and comes at once, without the guest's
 * consent, also while it is paused; the guest's agent sees its port vanish and appear again.
 */
import { AppError } from "../../lib/errors.ts";
import { writeXml } from "../../lib/xml-writer.ts";
import { clipboardChannel } from "./domain/controllers-xml.ts";
import type { ReadDomain } from "./domain/domain-reader.ts";
import { clipboardChannelName, clipboardChannelType } from "./domain/machine.ts";
import { aliasIn } from "./domain/read-devices.ts";
import { detach, type LiveContext } from "./live-apply.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { deviceFlags } from "./rpc/flags.ts";

/** `live` is the running domain. Fails with `hypervisor` when the channel stays. */
export async function takeClipboardAway(context: LiveContext, live: ReadDomain): Promise<void> {
	for (const channel of channelsOf(live)) {
		const alias = aliasIn(channel);
		if (channel.attribute("type") !== clipboardChannelType || alias === null) continue;
		const reason = await detach({ ...context, uuid: live.facts.id }, alias);
		if (reason !== null)
			throw new AppError("hypervisor", `The clipboard's channel stays, and with it the VM where it is. ${reason}`);
	}
}

/** Does nothing where a channel of that name is, of whatever kind: an adopted VM may have SPICE's own. */
export async function giveClipboardBack(client: LibvirtClient, live: ReadDomain): Promise<void> {
	if (channelsOf(live).some((channel) => channel.attributeOf("name", "target") === clipboardChannelName)) return;
	await client.domainAttachDeviceFlags({ uuid: live.facts.id }, writeXml(clipboardChannel()), deviceFlags.live);
}

const channelsOf = (domain: ReadDomain) => domain.root.child("devices")?.all("channel") ?? [];
