/** First steps, after the first sign-in. Each is shown done when it is. */
import { CircleCheck, Disc3, Monitor, Play, Users } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { cluster } from "../../api/live/live.ts";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { Button } from "../../components/button.tsx";
import type { Icon } from "../../components/icons.ts";
import { Notice, Stack } from "../../components/layout.tsx";
import { Page } from "../../components/page.tsx";
import { href } from "../../routes.ts";
import { welcome as t } from "../../strings/overview.ts";
import { startDemo } from "./demo.ts";
import "./welcome.css";

export default function WelcomePage() {
	const { route } = useLocation();
	const [busy, setBusy] = useState(false);
	const vms = useCollection("vm");
	const images = useCollection("image");
	const nodes = useCollection("node").items.value;
	const demoObstacle =
		obstacleTo("vmCreateDemo") ?? (cluster.value?.demoAvailable === false ? t.demoUnavailable : null);
	return (
		<Page title={t.title}>
			<Stack>
				<p class="welcome__text">{t.text}</p>
				{nodes.some(({ status }) => status.accelerator === "tcg") && <Notice>{t.tcg}</Notice>}
				<ol class="welcome">
					<Step icon={Play} title={t.demoTitle} text={t.demoText} done={vms.count.value > 0}>
						<Button
							kind="primary"
							icon={Play}
							busy={busy}
							obstacle={demoObstacle}
							onClick={async () => {
								setBusy(true);
								await startDemo(route);
								setBusy(false);
							}}
						>
							{t.demoButton}
						</Button>
					</Step>
					<Step icon={Disc3} title={t.imageTitle} text={t.imageText} done={images.count.value > 0}>
						<Button href={`${href("images")}?add=upload`} obstacle={obstacleTo("imageCreate")}>
							{t.imageButton}
						</Button>
					</Step>
					<Step icon={Monitor} title={t.vmTitle} text={t.vmText} done={vms.count.value > 0}>
						<Button href={href("vmCreate")} obstacle={obstacleTo("vmCreate")}>
							{t.vmButton}
						</Button>
					</Step>
					<Step icon={Users} title={t.usersTitle} text={t.usersText} done={false}>
						<Button href={href("administration", { tab: "users" })} obstacle={obstacleTo("userCreate")}>
							{t.usersButton}
						</Button>
					</Step>
				</ol>
				<p>
					<a href={href("overview")}>{t.later}</a>
				</p>
			</Stack>
		</Page>
	);
}

type StepProps = { icon: Icon; title: string; text: string; done: boolean; children: ComponentChildren };

function Step({ icon: IconOf, title, text, done, children }: StepProps) {
	return (
		<li class="welcome__step">
			<span class={`welcome__icon${done ? " welcome__icon--done" : ""}`}>
				{done ? <CircleCheck size={20} aria-hidden="true" /> : <IconOf size={20} aria-hidden="true" />}
			</span>
			<div class="welcome__body">
				<h2>
					{title}
					{done && <span class="visually-hidden"> {t.done}</span>}
				</h2>
				<p class="muted">{text}</p>
			</div>
			<div>{children}</div>
		</li>
	);
}
