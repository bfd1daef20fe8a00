/** What can be done with an image. */
import { Copy, Download, Monitor, Trash2 } from "lucide-preact";
import { h } from "preact";
import { operationUrl } from "../../api/call.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Image } from "../../api/types.ts";
import { dropUpload } from "../../api/uploads.ts";
import { act } from "../../api/write.ts";
import { confirm } from "../../components/confirm.tsx";
import type { Action } from "../../components/menu.tsx";
import { download } from "../../lib/download.ts";
import { href } from "../../routes.ts";
import { images as t } from "../../strings/images.ts";
import { states } from "../../strings/states.ts";

export const notReady = ({ phase }: Image): string | null =>
	phase === "ready" ? null : t.notReady(states.image[phase].toLowerCase());

type Ways = { route: (url: string) => void; onCopy: () => void };

export function imageActions(image: Image, { route, onCopy }: Ways): Action[] {
	return [
		{
			id: "create-vm",
			label: t.createVm,
			icon: Monitor,
			obstacle: obstacleTo("vmCreate") ?? notReady(image),
			onSelect: () => route(href("vmCreate", undefined, { image: image.id })),
		},
		{
			id: "download",
			label: t.download,
			icon: Download,
			obstacle: obstacleTo("imageContentGet") ?? notReady(image),
			onSelect: () => download(operationUrl("imageContentGet", image.id)),
		},
		{
			id: "copy",
			label: t.copy,
			icon: Copy,
			obstacle: obstacleTo("imageCreate") ?? notReady(image),
			onSelect: onCopy,
		},
		deleteImageAction(image),
	];
}

export const deleteImageAction = (image: Image, after?: () => void): Action => ({
	id: "delete",
	label: t.delete,
	icon: Trash2,
	danger: true,
	divided: true,
	obstacle: obstacleTo("imageDelete") ?? (image.phase === "deleting" ? notReady(image) : null),
	async onSelect() {
		const unfinished = image.phase === "uploading" || image.phase === "importing";
		const confirmed = await confirm({
			title: t.deleteTitle(image.name),
			body: h("p", {}, unfinished ? t.deleteUploadText : t.deleteText),
			confirmLabel: t.delete,
			danger: true,
			...(image.phase === "ready" ? { typedName: image.name } : {}),
		});
		if (!confirmed) return;
		dropUpload(image.id);
		if (await act(t.deleteTitle(image.name), "imageDelete", { id: image.id })) after?.();
	},
});
