/** Short messages in the corner, from api/notify.ts. */
import { CircleAlert, CircleCheck, X } from "lucide-preact";
import { dismissToast, type Toast, toasts } from "../api/notify.ts";
import { common as t } from "../strings/common.ts";
import { errors } from "../strings/errors.ts";
import { IconButton } from "./button.tsx";
import { CopyButton } from "./copy.tsx";
import "./toast.css";

export function ToastHost() {
	return (
		<section class="toasts" aria-label={errors.notifications}>
			<div aria-live="polite">
				{toasts.value
					.filter(({ tone }) => tone === "success")
					.map((toast) => (
						<ToastItem key={toast.id} toast={toast} />
					))}
			</div>
			<div aria-live="assertive">
				{toasts.value
					.filter(({ tone }) => tone === "failure")
					.map((toast) => (
						<ToastItem key={toast.id} toast={toast} />
					))}
			</div>
		</section>
	);
}

function ToastItem({ toast }: { toast: Toast }) {
	const Mark = toast.tone === "success" ? CircleCheck : CircleAlert;
	return (
		<div class={`toast toast--${toast.tone}`}>
			<Mark class="toast__mark" size={16} aria-hidden="true" />
			<div class="toast__content">
				<strong>{toast.title}</strong>
				{toast.text && <p>{toast.text}</p>}
				{toast.details && <CopyButton text={toast.details} label={errors.copy} />}
			</div>
			<IconButton icon={X} label={t.dismiss} small onClick={() => dismissToast(toast.id)} />
		</div>
	);
}
