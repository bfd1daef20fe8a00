/** The side bar: the sections, and the tree of nodes and VMs. A drawer in narrow windows. */
import { useLocation } from "preact-iso";
import { frame as t } from "../strings/frame.ts";
import { sectionOf, sections } from "./navigation.ts";
import { StaleAge } from "./stale-age.tsx";
import { Tree } from "./tree.tsx";
import "./side-bar.css";

export function SideBar() {
	const { path } = useLocation();
	const current = sectionOf(path);
	return (
		<div class="side-bar">
			<nav aria-label={t.navigation} class="side-bar__sections">
				{sections.map(({ id, label, address, icon: IconOf }) => (
					<a key={id} href={address} class="side-bar__link" aria-current={id === current ? "page" : undefined}>
						<IconOf size={16} aria-hidden="true" />
						{label}
					</a>
				))}
			</nav>
			<nav class="side-bar__tree" aria-label={t.tree}>
				<h2 class="side-bar__heading">
					{t.tree} <StaleAge />
				</h2>
				<Tree />
			</nav>
		</div>
	);
}
