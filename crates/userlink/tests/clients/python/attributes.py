"""Print the numbers of the attributes in the reply to DEV_GET."""
import raw

print(*sorted(raw.Genl().find().get(raw.handle(raw.DEVICE))))
