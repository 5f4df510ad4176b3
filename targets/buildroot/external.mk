include $(sort $(wildcard $(BR2_EXTERNAL_TUG_PATH)/package/*/*.mk))
