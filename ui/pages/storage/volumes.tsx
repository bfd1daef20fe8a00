/** The list of volumes. */
import { Plus } from "lucide-preact";
import { useState } from "preact/hooks";
import { obstacleTo } from "../../api/session.ts";
import { useCollection } from "../../api/use.ts";
import { resourceIcons } from "../../components/icons.ts";
import { Page } from "../../components/page.tsx";
import { storage as t } from "../../strings/storage.ts";
import { CreateVolumePanel } from "./create-volume.tsx";
import { storageTabs } from "./tabs.ts";
import { VolumesTable } from "./volumes-table.tsx";
import "./storage.css";

export default function VolumesPage() {
	const volumes = useCollection("volume");
	const [creating, setCreating] = useState(false);
	const create = () => setCreating(true);
	return (
		<Page
			title={t.title}
			icon={resourceIcons.pool}
			fill
			tabs={storageTabs}
			currentTab="volumes"
			primary={[
				{ id: "create", label: t.createVolume, icon: Plus, obstacle: obstacleTo("volumeCreate"), onSelect: create },
			]}
		>
			<VolumesTable volumes={volumes.items.value} collection={volumes} fill onCreate={create} />
			{creating && <CreateVolumePanel onClose={() => setCreating(false)} />}
		</Page>
	);
}
