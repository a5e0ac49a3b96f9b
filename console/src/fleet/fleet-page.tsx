// A page of these, within which the styles of this folder hold. Not here: the pages.

import type { ComponentProps } from 'preact'
import { Page } from '../parts/page.tsx'
import './fleet.css'

export const FleetPage = (props: ComponentProps<typeof Page>) => (
  <div class="fleet">
    <Page {...props} />
  </div>
)
