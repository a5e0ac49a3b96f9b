// A page of these, with the styles of this folder. Not here: the pages.

import type { ComponentProps } from 'preact'
import { Page } from '../parts/page.tsx'
import './fleet.css'

export const FleetPage = (props: Omit<ComponentProps<typeof Page>, 'class'>) => <Page {...props} class="fleet" />
