/** How far an upload or import is, with its controls. */
import { FolderOpen, Pause, Play } from "lucide-preact";
import { toastFailure } from "../../api/notify.ts";
import { obstacleTo } from "../../api/session.ts";
import type { Image } from "../../api/types.ts";
import {
	canResume,
	continueUpload,
	pauseUpload,
	rememberedFile,
	resumeUpload,
	type Upload,
	uploads,
} from "../../api/uploads.ts";
import { IconButton } from "../../components/button.tsx";
import { ProgressBar } from "../../components/feedback.tsx";
import { nowMs } from "../../components/relative-time.tsx";
import { formatBytes, formatDuration, formatRate } from "../../lib/format.ts";
import { images as t } from "../../strings/images.ts";

const u = t.uploads;

/** Asks for the file and goes on with it. */
export function chooseAndContinue(image: Image): void {
	const input = document.createElement("input");
	input.type = "file";
	input.onchange = () => {
		const file = input.files?.[0];
		if (!file) return;
		continueUpload(image.id, image.fileSizeBytes, file).catch((error: unknown) =>
			toastFailure(t.progress(image.name), error),
		);
	};
	input.click();
}

/** One line on what the upload is doing. */
export function uploadText(image: Image, upload: Upload | undefined): string {
	if (!upload) return rememberedFile(image.id) ? u.chooseSame(rememberedFile(image.id)?.fileName ?? "") : u.elsewhere;
	switch (upload.state) {
		case "uploading": {
			if (upload.bytesPerSecond === null) return u.uploading;
			const leftMs = ((upload.sizeBytes - upload.receivedBytes) / upload.bytesPerSecond) * 1000;
			return u.rate(formatRate(upload.bytesPerSecond), formatDuration(Math.max(1000, leftMs)));
		}
		case "waiting":
			return u.retrying(Math.max(0, Math.ceil(((upload.retryAtMs ?? 0) - Math.max(nowMs.value, Date.now())) / 1000)));
		case "paused":
			return upload.error?.message ?? u.paused;
		case "failed":
			return upload.error?.message ?? u.failed;
	}
}

export function UploadCell({ image }: { image: Image }) {
	if (image.phase !== "uploading" && image.phase !== "importing") return null;
	const upload = uploads.value.get(image.id);
	const received = Math.max(image.receivedBytes, upload?.receivedBytes ?? 0);
	const total = image.fileSizeBytes;
	const percent = total === null || total === 0 ? null : (received / total) * 100;
	const known = image.phase === "uploading" || percent !== null;
	return (
		<span class="upload-cell">
			<ProgressBar
				percent={known && percent !== null && percent < 100 ? percent : null}
				label={t.progress(image.name)}
			/>
			<span class="upload-cell__text">
				{total === null ? formatBytes(received) : t.received(formatBytes(received), formatBytes(total))}
			</span>
			{image.phase === "uploading" && <UploadButton image={image} upload={upload} />}
		</span>
	);
}

export function UploadButton({ image, upload }: { image: Image; upload: Upload | undefined }) {
	if (upload && (upload.state === "uploading" || upload.state === "waiting")) {
		return <IconButton small icon={Pause} label={u.pause} onClick={() => pauseUpload(image.id)} />;
	}
	if (upload && canResume(image.id)) {
		return <IconButton small icon={Play} label={u.resume} onClick={() => resumeUpload(image.id)} />;
	}
	return (
		<IconButton
			small
			icon={FolderOpen}
			label={rememberedFile(image.id) ? u.chooseSame(rememberedFile(image.id)?.fileName ?? "") : u.chooseAny}
			obstacle={obstacleTo("imageContentPut")}
			onClick={() => chooseAndContinue(image)}
		/>
	);
}
