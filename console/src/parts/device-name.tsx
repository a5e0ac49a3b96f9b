// How a device is named in lists and headings: by its name in the reader's language, with its key, which is what engineers know it by.

import type { DeviceLine } from '@downlink/client'
import { nameOf } from '../words.ts'

export const DeviceName = ({ device }: { device: Pick<DeviceLine, 'deviceName' | 'deviceKey'> }) => {
  const name = nameOf(device.deviceName)
  return (
    <span class="device-name">
      <span>{name === '' ? device.deviceKey : name}</span>
      {name !== device.deviceKey && name !== '' && <code>{device.deviceKey}</code>}
    </span>
  )
}
